"""The state of the stores as metrics: read when somebody asks, within a time, and not again for a few seconds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.telemetry import metrics as m
from api.telemetry.metrics import Metric
from persistence.assembly import Parts
from persistence.errors import PersistenceError
from persistence.log import get_logger
from persistence.ports.observer import Part, PoolUse
from persistence.ports.runs import Depth, Kind
from persistence.results import HealthCheck, HealthStatus, OutboxStats, StoreHealth
from persistence.service import AsyncPersistenceService
from persistence.watching import pool_use
from sync import AsyncSyncService, DriftPoint, SyncStats

log = get_logger("metrics")

#: Seconds that reading may take, and for which what was read stands.
READ_TIME = 2.0
STANDS_FOR = 5.0

OF_STATE = frozenset(
    {
        m.STATE_SUCCESS,
        m.STORE_UP,
        m.STORE_PING,
        m.OUTBOX_ENTRIES,
        m.OUTBOX_AGE,
        m.OPEN,
        m.CHECK_AT,
        m.CHECK_COMPLETE,
        m.CHECK_FOUND,
        m.RUNNING,
        m.BREAKER_OPEN,
        m.POOL,
        m.POOL_WAITING,
    }
)

Sample = tuple[Metric, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read; None: it was not obtained."""

    health: HealthCheck | None = None
    sync: SyncStats | None = None
    pools: tuple[tuple[Part, PoolUse], ...] = ()


class State(Collector):
    """Shows the last reading. Without ``refresh`` it shows that there is none."""

    def __init__(self, *, read_time: float = READ_TIME, stands_for: float = STANDS_FOR) -> None:
        self._read_time = read_time
        self._stands_for = stands_for
        self._reading = Reading()
        self._checks: dict[Depth, DriftPoint] = {}
        self._read_at = -math.inf
        self._success = math.nan
        self._lock = asyncio.Lock()

    async def refresh(self, memories: AsyncPersistenceService) -> HealthCheck | None:
        """Read the state anew, where the last reading is too old. Raises nothing for a store that is away.

        Returns how the stores were then, None where that was not obtained.
        """
        async with self._lock:
            if time.monotonic() - self._read_at >= self._stands_for:
                self._reading = await self._read(memories)
                self._read_at = time.monotonic()
                if self._reading.health is not None and self._reading.sync is not None:
                    self._success = time.time()
            return self._reading.health

    async def _read(self, memories: AsyncPersistenceService) -> Reading:
        health, stats = await asyncio.gather(self._health(memories), self._sync(memories))
        if stats is not None:
            self._note_checks(stats)
        return Reading(health, stats, tuple(_pools(memories.parts)))

    def _note_checks(self, stats: SyncStats) -> None:
        """Keep the newest check of all tenants, for each depth: one of a single tenant says nothing of the others.

        The record shows the newest of whatever tenant, so one that was seen before may be hidden by it now.
        """
        for point in (*stats.last_checks.values(), *stats.drift):
            known = self._checks.get(point.depth)
            if point.user_id is None and (known is None or point.finished_at > known.finished_at):
                self._checks[point.depth] = point

    async def _health(self, memories: AsyncPersistenceService) -> HealthCheck | None:
        try:
            async with asyncio.timeout(self._read_time):
                return await memories.get_health(timeout=self._read_time * 0.9)
        except (PersistenceError, TimeoutError) as error:
            _say(error)
            return None

    async def _sync(self, memories: AsyncPersistenceService) -> SyncStats | None:
        try:
            async with asyncio.timeout(self._read_time):
                return await AsyncSyncService(memories).get_stats()
        except (PersistenceError, TimeoutError) as error:
            _say(error)
            return None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that the registry finds a name that is there twice."""
        return (_family(metric) for metric in m.METRICS if metric in OF_STATE)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the last reading. What is not in it has no sample."""
        families = {metric: _family(metric) for metric in m.METRICS if metric in OF_STATE}
        for metric, labels, value in self._samples():
            families[metric].add_metric(labels, value)
        yield from families.values()

    def _samples(self) -> Iterator[Sample]:
        yield m.STATE_SUCCESS, (), self._success
        reading = self._reading
        if reading.health is not None:
            yield from _of_health(reading.health)
        if reading.sync is not None:
            yield from _of_sync(reading.sync)
            yield from _of_checks(self._checks)
        for part, use in reading.pools:
            yield from _of_pool(part, use)


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _say(error: BaseException) -> None:
    log.warning("The state of the stores could not be read for metrics.", action="metrics", error=type(error).__name__)


def _pools(parts: Parts) -> Iterator[tuple[Part, PoolUse]]:
    for part, adapter in ((Part.TRUTH, parts.adapters.vector), (Part.GRAPH, parts.adapters.graph)):
        if (use := pool_use(adapter)) is not None:
            yield part, use


def _of_health(health: HealthCheck) -> Iterator[Sample]:
    yield from _of_store(Part.TRUTH, health.vector)
    yield from _of_store(Part.GRAPH, health.graph)
    yield m.BREAKER_OPEN, (), float(health.breaker == "open")
    if health.outbox is not None:
        yield from _of_outbox(health.outbox)


def _of_store(part: Part, store: StoreHealth) -> Iterator[Sample]:
    if store.status is HealthStatus.DISABLED:
        return
    yield m.STORE_UP, (part,), float(store.status is HealthStatus.HEALTHY)
    if store.latency_ms is not None:
        yield m.STORE_PING, (part,), store.latency_ms / 1_000


def _of_outbox(outbox: OutboxStats) -> Iterator[Sample]:
    yield m.OUTBOX_ENTRIES, ("pending",), outbox.pending
    yield m.OUTBOX_ENTRIES, ("dead",), outbox.dead
    if outbox.oldest_age_s is not None:
        yield m.OUTBOX_AGE, (), outbox.oldest_age_s
    elif not outbox.pending:
        yield m.OUTBOX_AGE, (), 0.0


def _of_sync(stats: SyncStats) -> Iterator[Sample]:
    yield m.RUNNING, (), len(stats.running)
    for kind in Kind if stats.open is not None else ():
        yield m.OPEN, (kind.value,), (stats.open or {}).get(kind, 0)


def _of_checks(checks: Mapping[Depth, DriftPoint]) -> Iterator[Sample]:
    for depth, point in checks.items():
        yield m.CHECK_AT, (depth.value,), point.finished_at.timestamp()
        yield m.CHECK_COMPLETE, (depth.value,), float(point.complete)
        yield m.CHECK_FOUND, (depth.value,), point.found


def _of_pool(part: Part, use: PoolUse) -> Iterator[Sample]:
    yield m.POOL, (part, "idle"), use.idle
    yield m.POOL, (part, "used"), use.size - use.idle
    yield m.POOL, (part, "limit"), use.limit
    yield m.POOL_WAITING, (part,), use.waiting
