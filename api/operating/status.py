"""How the stores stand, for an operator: probes, counts, last checks and running runs, all asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api.operating.counting import Counting
from api.shapes import count_json, last_check_json, outbox_json, store_json, time_text
from persistence.assembly import Parts
from persistence.health import NOT_COUNTED, check_health, count_graph, count_truth
from persistence.log import get_logger
from persistence.results import Count, HealthCheck, HealthStatus, StoreHealth
from persistence.retry import Deadline
from persistence.service import AsyncPersistenceService
from sync.reports import run_json
from sync.stats import Newest, gather_newest

log = get_logger("status")

#: Seconds within which a look is over, and within which a count is, which nobody may be waiting for any more.
LOOK_TIME, COUNT_TIME = 2.5, 20.0
#: Seconds between two looks that nobody asked for: so late at most is it seen that a store went or came back.
WATCH_EVERY = 15.0


@dataclass(frozen=True, slots=True)
class StoreState:
    """One store: how it is, since when it is so, and what it said last when it was not well."""

    health: StoreHealth
    since: datetime
    last_error: str | None = None
    last_error_at: datetime | None = None

    def then(self, health: StoreHealth, now: datetime) -> StoreState:
        """Return the state after another look."""
        since = self.since if health.status is self.health.status else now
        if health.error is None:
            return StoreState(health, since, self.last_error, self.last_error_at)
        return StoreState(health, since, health.error, now)


@dataclass(frozen=True, slots=True)
class Status:
    """Both stores and what lies between them. ``newest`` None: the records of runs could not be read."""

    health: HealthCheck
    vector: StoreState
    graph: StoreState
    vector_count: Count
    graph_count: Count
    newest: Newest | None


class StatusBoard:
    """Looks at an open service, and remembers since when its stores are as they are. A restart forgets it.

    It remembers what it read for whomever, and what others tell it by ``note``; ``watch`` has it look by itself.
    """

    def __init__(self, memories: AsyncPersistenceService) -> None:
        self._memories = memories
        self._states: dict[str, StoreState] = {}
        self._noted_at: datetime | None = None
        self._watch: asyncio.Task[None] | None = None
        self._truth = Counting(lambda user_id: count_truth(self._parts, Deadline(COUNT_TIME), user_id))
        self._graph = Counting(lambda user_id: count_graph(self._parts, Deadline(COUNT_TIME), user_id))

    @property
    def _parts(self) -> Parts:
        return self._memories.parts

    async def look(self, user_id: str | None = None) -> Status:
        """Say how the stores stand; of one tenant only its own numbers and runs. Never raises for a store that is down.

        It answers within LOOK_TIME; what a store has not said by then is None.
        """
        (health, vector_count, graph_count), newest = await asyncio.gather(
            self.stores(user_id, timeout=LOOK_TIME), gather_newest(self._parts, user_id, Deadline(LOOK_TIME))
        )
        vector, graph = (
            replace(self._states[name], health=now)
            for name, now in (("vector", health.vector), ("graph", health.graph))
        )
        return Status(health, vector, graph, vector_count, graph_count, newest)

    async def stores(self, user_id: str | None, *, timeout: float) -> tuple[HealthCheck, Count, Count]:
        """Say how the stores are, and how many memories truth and the graph have, of one tenant or of all."""
        health, vector, graph = await asyncio.gather(
            self.health(user_id, timeout=timeout), self._truth.get(user_id), self._graph.get(user_id)
        )
        return health, _of(health.vector, vector), _of(health.graph, graph)

    async def health(self, user_id: str | None = None, *, timeout: float) -> HealthCheck:
        """Probe the stores, and remember how they are."""
        health = await check_health(self._parts, Deadline(timeout), user_id)
        self.note(health)
        return health

    def note(self, health: HealthCheck) -> None:
        """Remember how the stores are; what is older than what is known already says nothing new."""
        if self._noted_at is not None and health.checked_at <= self._noted_at:
            return
        self._noted_at = health.checked_at
        for name, store in (("vector", health.vector), ("graph", health.graph)):
            before = self._states.get(name) or StoreState(store, health.checked_at)
            self._states[name] = before.then(store, health.checked_at)

    def watch(self, *, every: float = WATCH_EVERY) -> None:
        """Look at the stores now, and from now on, until ``close``: an outage that nobody asks in is noted too."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._watching(every), name="diptych-status")

    async def close(self) -> None:
        """Stop to watch, and the counts that are under way."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await asyncio.gather(self._truth.close(), self._graph.close())

    async def _watching(self, every: float) -> None:
        while True:
            try:
                await self.health(timeout=LOOK_TIME)
            except Exception:  # a defect must not end it: nobody awaits this task
                log.exception("The stores could not be looked at.", action="watch_status")
            await asyncio.sleep(every)


def _of(store: StoreHealth, count: Count) -> Count:
    """Return a count, if the store is there: a former one says nothing of a store that is away."""
    return NOT_COUNTED if store.status is HealthStatus.UNHEALTHY else count


def board_json(status: Status) -> Mapping[str, Any]:
    """Return what ``diptych status --json`` shows, and what only a process that stays knows."""
    health, newest = status.health, status.newest
    return {
        "status": health.status.value,
        "stores": {"vector": _state_json(status.vector), "graph": _state_json(status.graph)},
        "outbox": outbox_json(health.outbox),
        "counts": {"vector": count_json(status.vector_count), "graph": count_json(status.graph_count)},
        "breaker": health.breaker,
        "last_check": last_check_json(newest.last_checks) if newest else None,
        "running": [run_json(run) for run in newest.running] if newest else None,
        "checked_at": time_text(health.checked_at),
    }


def _state_json(state: StoreState) -> dict[str, Any]:
    return {
        **store_json(state.health),
        "since": time_text(state.since),
        "last_error": state.last_error,
        "last_error_at": time_text(state.last_error_at) if state.last_error_at else None,
    }
