"""How the stores stand."""

from __future__ import annotations

from api.http.models.base import Time, Told
from api.http.models.sync import DriftTold, RunTold
from persistence.ports.runs import Depth
from persistence.results import HealthStatus


class StoreTold(Told):
    """One store: how it is, and since when; what it said last when it was not well. A restart forgets the past."""

    status: HealthStatus
    available: bool
    kind: str
    version: str | None
    latency_ms: float | None
    error: str | None
    since: Time
    last_error: str | None
    last_error_at: Time | None


class StoresTold(Told):
    """The truth, and the graph that follows it."""

    vector: StoreTold
    graph: StoreTold


class CountTold(Told):
    """A number of memories; a bound or an estimate where it is not exact, null where it was not obtained."""

    value: int | None
    exact: bool


class CountsTold(Told):
    """The memories on both sides."""

    vector: CountTold
    graph: CountTold


class OutboxTold(Told):
    """How many memories are in doubt; at least so many where it is not exact."""

    pending: int
    dead: int
    oldest_age_s: float | None
    disabled: int
    exact: bool


class StatusTold(Told):
    """Both stores and what lies between them. Whatever could not be obtained is null.

    ``last_check``: by depth the newest finished check; null as a whole until there is one. ``running``: the runs that
    go on.
    """

    status: HealthStatus
    stores: StoresTold
    outbox: OutboxTold | None
    counts: CountsTold
    breaker: str
    last_check: dict[Depth, DriftTold | None] | None
    running: list[RunTold] | None
    checked_at: Time
