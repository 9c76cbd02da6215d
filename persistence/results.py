"""What calls answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from persistence.records import Memory


class Outcome(StrEnum):
    """How a write ended."""

    IN_STEP = "in_step"
    """Both stores have it."""
    PENDING = "pending"
    """Truth has it; the relay will bring the graph up."""
    ROLLED_BACK = "rolled_back"
    """The graph failed and the former state was restored in truth (only with ``rollback_on_partial_failure``)."""
    SUPERSEDED = "superseded"
    """Someone wrote a newer version meanwhile; nothing of theirs was undone."""


class StorageStatus(StrEnum):
    """What one store has of a write."""

    OK = "ok"
    PENDING = "pending"
    ROLLED_BACK = "rolled_back"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class PersistenceResult:
    """The answer to one write.

    ``memory`` is the memory as it is in truth after the call, None after a delete. ``changed`` is False where the
    call found nothing to do (a delete of what is not there, a repeated idempotency key, an import of what is there).
    ``error`` is the sentence that says why the graph is behind.
    """

    id: str
    user_id: str
    outcome: Outcome
    version: int | None
    memory: Memory | None
    graph: StorageStatus
    vector: StorageStatus = StorageStatus.OK
    changed: bool = True
    error: str | None = None
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class GraphLink:
    """How a memory was reached: the entity it shares or is related by, and the steps from the start."""

    entity: str
    type: str


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One memory found. ``score`` is the cosine similarity in [-1, 1], None for one reached through the graph.

    ``distance`` is 0 for a vector hit, else the number of steps in the graph (1: shares an entity).
    """

    memory: Memory
    score: float | None
    distance: int = 0
    via: tuple[GraphLink, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first. ``degraded`` says why what the graph would add is missing, None where nothing is."""

    hits: tuple[SearchHit, ...]
    degraded: str | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def __getitem__(self, index: int) -> SearchHit:
        return self.hits[index]


@dataclass(frozen=True, slots=True)
class Page:
    """Memories in the order of their ids. ``next`` goes into ``after`` for the next page; None after the last."""

    memories: tuple[Memory, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of memories; ``value`` is a lower bound where ``exact`` is False, None where it was not obtained."""

    value: int | None
    exact: bool


@dataclass(frozen=True, slots=True)
class DeleteAllResult:
    """What ``delete_all`` did. Call it again to go on where it was stopped."""

    deleted: int
    pending: int
    duration_ms: float


class HealthStatus(StrEnum):
    """Of one store, or of both together: an unhealthy graph makes the pair degraded, an unhealthy truth unhealthy."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """One store: ``latency_ms`` of a probe, None where it failed; then ``error`` says why, and ``hint`` what to do."""

    status: HealthStatus
    kind: str
    version: str | None = None
    latency_ms: float | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """The memories in doubt. ``oldest_age_s``: None where there is none; ``exact``: False above the count's bound."""

    pending: int
    dead: int
    oldest_age_s: float | None
    disabled: int = 0
    exact: bool = True


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Both stores and what lies between them. ``outbox`` is None where it could not be read."""

    status: HealthStatus
    vector: StoreHealth
    graph: StoreHealth
    outbox: OutboxStats | None
    checked_at: datetime
    breaker: str = "closed"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts on both sides and what is in doubt; whatever was not obtained is null."""

    vector: Count
    graph: Count
    outbox: OutboxStats | None
    writes: dict[str, int] = field(default_factory=dict)
