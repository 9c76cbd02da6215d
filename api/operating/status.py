"""How the stores stand, for an operator: probes, counts, last checks and running runs, all asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.operating.counting import Counting
from api.shapes import count_json, last_check_json, outbox_json, store_json, time_text
from persistence.assembly import Parts
from persistence.health import NOT_COUNTED, check_health, count_graph, count_truth
from persistence.results import Count, HealthCheck, HealthStatus, StoreHealth
from persistence.retry import Deadline
from persistence.service import AsyncPersistenceService
from sync.reports import run_json
from sync.stats import Newest, gather_newest

#: Seconds within which a look is over, and within which a count is, which nobody may be waiting for any more.
LOOK_TIME, COUNT_TIME = 2.5, 20.0


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
    """Looks at an open service, and remembers since when its stores are as they are. A restart forgets it."""

    def __init__(self, memories: AsyncPersistenceService) -> None:
        self._memories = memories
        self._states: dict[str, StoreState] = {}
        self._truth = Counting(lambda user_id: count_truth(self._parts, Deadline(COUNT_TIME), user_id))
        self._graph = Counting(lambda user_id: count_graph(self._parts, Deadline(COUNT_TIME), user_id))

    @property
    def _parts(self) -> Parts:
        return self._memories.parts

    async def look(self, user_id: str | None = None) -> Status:
        """Say how the stores stand; of one tenant only its own numbers and runs. Never raises for a store that is down.

        It answers within LOOK_TIME; what a store has not said by then is None.
        """
        parts, deadline = self._parts, Deadline(LOOK_TIME)
        health, vector_count, graph_count, newest = await asyncio.gather(
            check_health(parts, deadline, user_id),
            self._truth.get(user_id),
            self._graph.get(user_id),
            gather_newest(parts, user_id, deadline),
        )
        vector = self._noted("vector", health.vector, health.checked_at)
        graph = self._noted("graph", health.graph, health.checked_at)
        return Status(health, vector, graph, _of(vector, vector_count), _of(graph, graph_count), newest)

    async def close(self) -> None:
        """Stop the counts that are under way."""
        await asyncio.gather(self._truth.close(), self._graph.close())

    def _noted(self, name: str, health: StoreHealth, now: datetime) -> StoreState:
        before = self._states.get(name) or StoreState(health, now)
        self._states[name] = state = before.then(health, now)
        return state


def _of(store: StoreState, count: Count) -> Count:
    """Return a count, if the store is there: a former one says nothing of a store that is away."""
    return NOT_COUNTED if store.health.status is HealthStatus.UNHEALTHY else count


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
