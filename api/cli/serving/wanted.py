"""What `serve` and `worker` are to do."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

from persistence import AsyncPersistenceService
from sync import AutoSync


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each can be switched off."""

    api: bool
    dashboard: bool
    mcp: bool
    relay: bool
    schedule: bool


ALL = Wanted(api=True, dashboard=True, mcp=True, relay=True, schedule=True)
#: What a worker does; probes and metrics are served at any rate.
ALONE = Wanted(api=False, dashboard=False, mcp=False, relay=True, schedule=True)


def scheduled(memories: AsyncPersistenceService, *, wanted: bool) -> AbstractAsyncContextManager[object]:
    """Return what runs the schedule beside an open service."""
    return AutoSync(memories) if wanted else nullcontext()
