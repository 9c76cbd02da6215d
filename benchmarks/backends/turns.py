"""Two sides in turns, so that what the machine does meanwhile falls on both."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

Call = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Pair:
    """The seconds that each call took: through the adapter, and by the client alone."""

    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of ours to that of the raw client."""
        return median(self.ours) / median(self.raw)

    def samples(self, name: str) -> dict[str, Sequence[float]]:
        """Return every value measured."""
        return {f"{name} diptych seconds": self.ours, f"{name} raw seconds": self.raw}


async def compared(ours: Sequence[Call], raw: Sequence[Call], block: int) -> Pair:
    """Time each call, ``block`` of one side after ``block`` of the other, in the order ABBA."""
    pair = Pair()
    sides = [(ours, pair.ours), (raw, pair.raw)]
    for start in range(0, len(ours), block):
        for calls, seconds in sides:
            await _timed(calls[start : start + block], seconds)
        sides.reverse()
    return pair


async def _timed(calls: Sequence[Call], seconds: list[float]) -> None:
    for call in calls:
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
