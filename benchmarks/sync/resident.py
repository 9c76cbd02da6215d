"""How much this process grows."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from benchmarks.machine import rss_mb

SAMPLE_EVERY = 0.05


@dataclass(slots=True)
class Growth:
    """Resident memory at the beginning, and now and then since."""

    samples: list[float] = field(default_factory=list)

    @property
    def mb(self) -> float:
        """By how much the largest is above the first."""
        return max(self.samples) - self.samples[0]


@asynccontextmanager
async def growth() -> AsyncIterator[Growth]:
    """Watch this process in the block.

    What it has free goes back to the system before: growing into that would not show.
    """
    gc.collect()
    with suppress(AttributeError):  # the C library of Linux alone has it
        ctypes.CDLL(None).malloc_trim(0)
    grown = Growth()
    _sample(grown)
    watching = asyncio.create_task(_watch(grown))
    try:
        yield grown
    finally:
        watching.cancel()
        _sample(grown)


async def _watch(grown: Growth) -> None:
    while True:
        await asyncio.sleep(SAMPLE_EVERY)
        _sample(grown)


def _sample(grown: Growth) -> None:
    grown.samples.append(rss_mb(os.getpid()) or 0.0)
