"""The state of the stores, for all tenants or as far as it concerns one."""

from __future__ import annotations

from api.shapes import Json, status_json
from persistence import AsyncPersistenceService
from persistence.errors import PersistenceError
from persistence.health import NOT_COUNTED, check_health, count_truth
from persistence.results import HealthCheck, HealthStatus, Stats
from persistence.retry import Deadline
from sync import AsyncSyncService, SyncStats


async def state(memories: AsyncPersistenceService, sync: AsyncSyncService, user_id: str | None) -> Json:
    """Return the state of the stores; of a tenant, with that tenant's numbers alone."""
    if user_id is None:
        health = await memories.get_health()
        stats = await memories.get_stats()
    else:
        parts = memories.parts
        deadline = Deadline(parts.config.write_timeout)
        health = await check_health(parts, deadline, user_id)
        stats = Stats(await count_truth(parts, deadline, user_id), NOT_COUNTED, health.outbox)
    return status_json(health, stats, await _sync(sync, health, user_id))


async def _sync(sync: AsyncSyncService, health: HealthCheck, user_id: str | None) -> SyncStats | None:
    if health.vector.status is HealthStatus.UNHEALTHY:
        return None
    try:
        return await sync.get_stats(user_id=user_id)
    except PersistenceError:  # it went away since; the answer's null says so
        return None
