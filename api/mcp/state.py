"""The state of the stores, for all tenants or as far as it concerns one."""

from __future__ import annotations

from dataclasses import replace

from api.shapes import Json, status_json
from persistence import AsyncPersistenceService
from persistence.errors import PersistenceError
from persistence.results import Count, HealthCheck, HealthStatus, OutboxStats, Stats
from persistence.retry import Deadline
from sync import AsyncSyncService, SyncStats


async def state(memories: AsyncPersistenceService, sync: AsyncSyncService, user_id: str | None) -> Json:
    """Return the state of the stores; of a tenant, with that tenant's numbers alone."""
    health = await memories.get_health()
    if user_id is None:
        stats = await memories.get_stats()
        return status_json(health, stats, await _sync(sync, health))
    outbox = await _outbox(memories, user_id)
    stats = Stats(await _count(memories, user_id), Count(None, exact=False), outbox)
    return status_json(replace(health, outbox=outbox), stats, _of(user_id, await _sync(sync, health)))


async def _sync(sync: AsyncSyncService, health: HealthCheck) -> SyncStats | None:
    if health.vector.status is HealthStatus.UNHEALTHY:
        return None
    try:
        return await sync.get_stats()
    except PersistenceError:  # it went away since; the answer's null says so
        return None


def _of(user_id: str, sync: SyncStats | None) -> SyncStats | None:
    """Keep the checks of one tenant: what was found elsewhere is nothing to it."""
    if sync is None:
        return None
    return replace(
        sync, last_checks={depth: last for depth, last in sync.last_checks.items() if last.user_id == user_id}
    )


async def _count(memories: AsyncPersistenceService, user_id: str) -> Count:
    try:
        return await memories.count(user_id=user_id)
    except PersistenceError:  # the store's own line says why
        return Count(None, exact=False)


async def _outbox(memories: AsyncPersistenceService, user_id: str) -> OutboxStats | None:
    truth = memories.parts.truth
    try:
        return await truth.read(
            lambda: truth.store.outbox_stats(user_id), Deadline(memories.parts.config.write_timeout)
        )
    except PersistenceError:  # the store's own line says why
        return None
