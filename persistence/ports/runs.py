"""Checks, repairs and rebuilds as durable records beside the truth: runs, their leases, what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID


class RunKind(StrEnum):
    """What a run does."""

    CHECK = "check"
    REPAIR = "repair"
    REBUILD = "rebuild"
    FULL = "full"
    """Check, repair, check again."""
    MOVE = "move"
    """Copy one truth into another; kept in the one that it goes to."""


class RunState(StrEnum):
    """How far a run is. Unfinished: running (or its process died: the lease says which), interrupted."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """It stopped before its end, by an outage, and can be resumed."""
    DONE = "done"
    CANCELLED = "cancelled"
    """It was stopped on request, and can be resumed."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """One check, repair, rebuild or full sync.

    ``user_id`` None: all tenants. ``request``: what was asked for. ``cursor``: where to go on, None before the first
    save. ``token``: the fencing token of whoever runs it. ``lease_expires_at`` None: nobody runs it.
    """

    id: UUID
    kind: RunKind
    user_id: str | None
    state: RunState
    request: Mapping[str, Any]
    cursor: Mapping[str, Any] | None
    report: Mapping[str, Any] | None
    token: int
    attempts: int
    cancel_requested: bool
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    lease_expires_at: datetime | None


class Kind(StrEnum):
    """In what way the graph is not what truth says."""

    MISSING = "missing_in_graph"
    ORPHAN = "orphan_in_graph"
    STALE = "stale_in_graph"
    AHEAD = "ahead_in_graph"
    CONTENT = "content_mismatch"
    EDGE_MISSING = "edge_missing"
    EDGE_UNEXPECTED = "edge_unexpected"
    ORPHAN_ENTITY = "orphan_entity"
    UNKNOWN = "unknown"
    """It could not be read."""
    DISCARDED = "discarded"
    """A dead outbox entry that someone gave up."""


class Depth(StrEnum):
    """How closely a check looks; each depth looks at all that the one before it does."""

    QUICK = "quick"
    """Versions and digests as both stores have them written down."""
    STRUCTURE = "structure"
    """Also the edges and entities that are really there."""
    FULL = "full"
    """Also every property."""

    @property
    def rank(self) -> int:
        """The deeper, the higher."""
        return list(Depth).index(self)


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """One way in which one memory's (or entity's) copy in the graph is not what truth says. Holds no content.

    ``memory_id`` is None for an entity that no memory owns; then ``entity`` is its (type, key). ``depth``: how closely
    one has to look to see it.
    """

    user_id: str
    memory_id: str | None
    kind: Kind
    depth: Depth = Depth.QUICK
    vector_version: int | None = None
    graph_version: int | None = None
    entity: tuple[str, str] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An inconsistency as it is kept. ``number`` orders the records; ``resolved_at`` None: it is open."""

    number: int
    inconsistency: Inconsistency
    run_id: UUID | None
    first_seen: datetime
    last_seen: datetime
    resolved_at: datetime | None
    resolved_by: UUID | None


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list; None: whatever it is. ``user_id`` "": only those of all tenants together."""

    kind: RunKind | None = None
    user_id: str | None = None
    state: RunState | None = None
    finished: bool | None = None


@dataclass(frozen=True, slots=True)
class InconsistencyQuery:
    """Which inconsistencies to list; None: whatever it is. ``run_id``: last seen by this run."""

    user_id: str | None = None
    kind: Kind | None = None
    run_id: UUID | None = None
    open: bool | None = True


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over the runs that are kept; None where there was none of the kind."""

    repairs: int | None
    repaired: int | None
    rebuilds: int | None
    rebuilt: int | None


class RunStore(Protocol):
    """Runs, leases and inconsistencies. Errors are those of the vector store they lie beside.

    Of a run's JSON a store reads no more than this: ``request["depth"]`` and ``request["dry_run"]``, and of the report
    ``["repaired"]`` (a repair), ``["repair"]["repaired"]`` (a full sync) and ``["memories"]`` (a rebuild).

    Who holds a run holds its lease; whoever takes it over gets a higher token, and from then on every call with the
    former token raises LeaseLostError and changes nothing.
    """

    async def begin_run(
        self, kind: RunKind, user_id: str | None, request: Mapping[str, Any], *, holder: UUID, lease: float
    ) -> Run:
        """Begin a run and take its lease for ``lease`` seconds, atomically.

        Raises RunConflictError, which holds the other run, where one of this kind is under way for this tenant or for
        all tenants (for all tenants: for any). A run whose lease has run out stands in nobody's way.
        """
        ...

    async def resume_run(self, run_id: UUID, *, holder: UUID, lease: float) -> Run:
        """Take up a run that was interrupted or cancelled, or whose lease has run out; its cursor is in the answer.

        Raises RunNotFoundError; RunConflictError where it is under way, or another one is in its place; RunEndedError
        where it is done or failed.
        """
        ...

    async def save_run(self, run_id: UUID, token: int, cursor: Mapping[str, Any], *, lease: float) -> bool:
        """Save how far a run is, and renew its lease; True where it was asked to stop. Raises LeaseLostError."""
        ...

    async def renew_run(self, run_id: UUID, token: int, *, lease: float) -> bool:
        """Renew a run's lease; True where it was asked to stop. Raises LeaseLostError."""
        ...

    async def finish_run(self, run_id: UUID, token: int, state: RunState, report: Mapping[str, Any]) -> Run:
        """End a run (or interrupt it) with its report, and give back its lease. Raises LeaseLostError."""
        ...

    async def cancel_run(self, run_id: UUID) -> Run:
        """Ask a run to stop; one that nobody runs is cancelled at once, one that has ended stays as it is.

        Raises RunNotFoundError.
        """
        ...

    async def run(self, run_id: UUID) -> Run | None:
        """Return a run."""
        ...

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        """List runs, the newest first, from beyond the run ``before``."""
        ...

    async def last_checks(self) -> list[Run]:
        """Return the newest check (or full sync) of each depth that was brought to its end, of whatever tenant."""
        ...

    async def run_totals(self) -> RunTotals:
        """Sum up the repairs (full syncs included) and rebuilds that were brought to their end."""
        ...

    async def record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        """Keep what a run found: new ones are open, open ones are seen again. Raises LeaseLostError."""
        ...

    async def resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        """Mark open inconsistencies as resolved by this run; return how many were. Raises LeaseLostError."""
        ...

    async def resolve_unseen(self, run_id: UUID, token: int, user_id: str | None, depth: Depth, since: datetime) -> int:
        """Resolve what a complete check of this depth did not see again, of one tenant or of all; return how many.

        That is each open one that can be seen at this depth and was last seen before ``since``. Raises LeaseLostError.
        """
        ...

    async def inconsistencies(self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        """List inconsistencies in the order of their numbers, from beyond ``after``."""
        ...

    async def count_open(self, user_id: str | None, *, bound: int = 100_000) -> dict[Kind, int]:
        """Count open inconsistencies by kind, up to ``bound`` in all."""
        ...

    async def prune(self, *, age: float, limit: int = 1_000) -> int:
        """Remove ended runs and resolved inconsistencies older than ``age`` seconds; return how many.

        The newest ended run of each kind, depth and tenant stays, whatever its age.
        """
        ...

    async def remove_runs(self, run_ids: Sequence[UUID]) -> int:
        """Remove those of these runs that are not under way; return how many."""
        ...

    async def remove_found(self, user_id: str, memory_id: str | None, *, limit: int = 1_000) -> int:
        """Remove what was found of a tenant, or of one of its memories, open or not; return how many, 0 at the end."""
        ...

    async def hold(self, name: str, *, holder: UUID, lease: float) -> int | None:
        """Take or renew a named lease for ``lease`` seconds; return its token, None where someone else holds it."""
        ...

    async def let_go(self, name: str, *, holder: UUID) -> None:
        """Give a named lease back, if it is this holder's."""
        ...
