"""What an operator asks of a service: is it well, and how much is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from persistence.assembly import Parts
from persistence.errors import PersistenceError
from persistence.gates import GraphRole
from persistence.log import get_logger
from persistence.results import Count, HealthCheck, HealthStatus, OutboxStats, Stats, StoreHealth
from persistence.retry import Deadline

T = TypeVar("T")

log = get_logger("health")

#: Seconds that one probe may take, within the call's deadline.
PROBE_TIME = 2.0

#: What stands for a count that was not obtained.
NOT_COUNTED = Count(None, exact=False)


async def check_health(parts: Parts, deadline: Deadline, user_id: str | None = None) -> HealthCheck:
    """Probe both stores at once, and look at the outbox, of one tenant or of all."""
    vector, graph, outbox = await asyncio.gather(
        _vector(parts, deadline), _graph(parts, deadline), _outbox(parts, deadline, user_id)
    )
    status = HealthStatus.HEALTHY
    if vector.status is HealthStatus.UNHEALTHY:
        status = HealthStatus.UNHEALTHY
    elif graph.status is HealthStatus.UNHEALTHY or (outbox is not None and outbox.dead):
        status = HealthStatus.DEGRADED
    return HealthCheck(status, vector, graph, outbox, datetime.now(UTC), parts.graph.breaker.state)


async def gather_stats(parts: Parts, deadline: Deadline) -> Stats:
    """Count both sides."""
    vector, graph, outbox = await asyncio.gather(
        count_truth(parts, deadline), count_graph(parts, deadline), _outbox(parts, deadline)
    )
    writes = {"relay_applied": parts.relay.applied, "relay_failed": parts.relay.failed}
    return Stats(vector, graph, outbox, writes)


async def count_truth(parts: Parts, deadline: Deadline, user_id: str | None = None) -> Count:
    """Count the memories of one tenant or of all; null where the store does not say."""
    store = parts.truth.store
    return await _obtained(lambda: parts.truth.read(lambda: store.count(user_id), deadline)) or NOT_COUNTED


async def count_graph(parts: Parts, deadline: Deadline, user_id: str | None = None) -> Count:
    """Count the memories that the graph has; null where it does not say, or there is none."""
    if parts.graph.role is GraphRole.DISABLED:
        return NOT_COUNTED
    counts = await _obtained(lambda: parts.graph.ask(lambda graph: graph.counts(user_id), deadline))
    if counts is None or counts.memories is None:
        return NOT_COUNTED
    return Count(counts.memories, exact=counts.exact and parts.graph.role is GraphRole.REGISTERED)


async def _vector(parts: Parts, deadline: Deadline) -> StoreHealth:
    return await _probe(parts, parts.truth.store.kind, parts.truth.store.ping, deadline)


async def _graph(parts: Parts, deadline: Deadline) -> StoreHealth:
    if parts.graph.role is GraphRole.DISABLED:
        return StoreHealth(HealthStatus.DISABLED, "none")
    if not parts.graph.ready:
        await _opened(parts, min(PROBE_TIME, deadline.remaining()))
    return await _probe(parts, parts.graph.store.kind, parts.graph.store.ping, deadline)


async def _opened(parts: Parts, seconds: float) -> None:
    """Give a graph that was away the time of one probe to be opened; the probe that follows says how it is."""
    try:
        await parts.calls.run(parts.graph.probe(seconds), seconds)
    except (TimeoutError, PersistenceError) as error:
        log.debug("The graph store could not be opened for a probe.", action="health", error=type(error).__name__)


async def _probe(
    parts: Parts, kind: str, ping: Callable[[], Coroutine[Any, Any, str]], deadline: Deadline
) -> StoreHealth:
    started = time.perf_counter()
    try:
        version = await parts.calls.run(ping(), min(PROBE_TIME, deadline.remaining()))
    except TimeoutError:
        return StoreHealth(HealthStatus.UNHEALTHY, kind, error="It did not answer in time.")
    except PersistenceError as error:
        return StoreHealth(HealthStatus.UNHEALTHY, kind, error=error.message, hint=error.hint)
    return StoreHealth(HealthStatus.HEALTHY, kind, version, (time.perf_counter() - started) * 1000)


async def _outbox(parts: Parts, deadline: Deadline, user_id: str | None = None) -> OutboxStats | None:
    return await _obtained(lambda: parts.truth.read(lambda: parts.truth.store.outbox_stats(user_id), deadline))


async def _obtained(call: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """Return None where the store did not give it; the store's own line says why."""
    try:
        return await call()
    except PersistenceError:
        return None
