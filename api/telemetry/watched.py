"""What a process that works for long tells of itself, whether it serves or not: log lines, and traces where wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import Thread

import anyio.to_thread

from api.telemetry.logs import Lines
from api.telemetry.together import Together
from api.telemetry.tracing import exporting, tracing
from persistence.ports.observer import Observer

#: Seconds that the last spans have to get away at the end: a collector that does not answer must not hold it up.
LAST_SPANS = 2.0


@dataclass(frozen=True, slots=True)
class Watched:
    """``observer`` goes into ``AsyncPersistenceService.connect``; ``traces`` is a part of it."""

    observer: Observer
    traces: Observer


@asynccontextmanager
async def watched(environment: Mapping[str, str], *others: Observer) -> AsyncIterator[Watched]:
    """Make log lines, and traces where the environment names a collector; send the last ones at the end."""
    provider = exporting(environment)
    traces = tracing(provider)
    try:
        yield Watched(Together(*others, traces, Lines()), traces)
    finally:
        if provider is not None:
            sending = Thread(target=provider.shutdown, name="diptych-last-spans", daemon=True)
            sending.start()
            await anyio.to_thread.run_sync(sending.join, LAST_SPANS)
