"""What the routes stand on: one open service, its sync, the desk that leads runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from api.http.drain import Drain
from api.http.limiter import Limiter
from api.http.settings import ApiConfig
from api.operating import Desk
from persistence.service import AsyncPersistenceService
from sync import AsyncSyncService

#: Where a request keeps the host; not in the app's state, which is not ours where the routes are mounted in another.
_KEPT = "diptych_host"


@dataclass(frozen=True, slots=True)
class Host:
    """Shared by every request of one application."""

    memories: AsyncPersistenceService
    sync: AsyncSyncService
    desk: Desk
    config: ApiConfig
    limiter: Limiter
    drain: Drain = field(default_factory=Drain)


@asynccontextmanager
async def hosting(memories: AsyncPersistenceService, config: ApiConfig) -> AsyncIterator[Host]:
    """Put a host on an open service, and watch its stores; at the end runs are interrupted, their leases given back."""
    limiter = Limiter(config)
    sync = AsyncSyncService(memories)
    desk = Desk(sync)
    desk.board.watch()
    try:
        yield Host(memories, sync, desk, config, limiter)
    finally:
        try:
            await desk.close()
        finally:
            await limiter.close()


def set_host(request: Request, host: Host) -> None:
    """Give a request its host."""
    setattr(request.state, _KEPT, host)


def host_of(request: Request) -> Host:
    """Return the host that a route of ours stands on, in whatever app."""
    host: Host = getattr(request.state, _KEPT)
    return host


async def hosted(request: Request) -> Host:
    """Return the same, as a dependency: one that is no coroutine function would be called in a thread."""
    return host_of(request)
