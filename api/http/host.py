"""What the routes stand on: one open service, its sync, the desk that leads runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.http.settings import ApiConfig
from api.operating import Desk
from persistence.service import AsyncPersistenceService
from sync import AsyncSyncService


@dataclass(frozen=True, slots=True)
class Host:
    """Shared by every request of one application."""

    memories: AsyncPersistenceService
    sync: AsyncSyncService
    desk: Desk
    config: ApiConfig


@asynccontextmanager
async def hosting(memories: AsyncPersistenceService, config: ApiConfig) -> AsyncIterator[Host]:
    """Put a host on an open service; at the end its runs are interrupted and their leases given back."""
    sync = AsyncSyncService(memories)
    desk = Desk(sync)
    try:
        yield Host(memories, sync, desk, config)
    finally:
        await desk.close()
