"""Checks, repairs, rebuilds and full syncs: what is ordered, what is reported."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool

from api.http.models.base import Asked, Cursor, Json, Limit, Tenant, Time, Told, Uuid
from persistence.ports.runs import Depth, Kind, RunKind, RunState
from sync import Pace, Strategy
from sync.service import MAX_LIMIT

#: Seconds that a request may wait for the end of a run.
MAX_WAIT = 60.0


class SyncAsked(Asked):
    """An order. It changes nothing unless ``dry_run`` is false."""

    operation: Literal["check", "repair", "full", "rebuild"]
    depth: Depth = Depth.QUICK
    user_id: Annotated[Tenant, Field(description="The tenant; null: all tenants.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Inconsistencies in the report.")] = 100
    dry_run: bool = Field(True, description="Say what would be done. A check changes nothing in any case.")
    strategy: Strategy = Strategy.TRUTH_WINS
    force: bool = Field(False, description="Delete orphans above the cap.")
    clear_existing: bool = Field(False, description="A rebuild empties the graph of the tenant first.")
    re_extract: bool = Field(False, description="A rebuild runs the extractor again where it made the entities.")
    rows_per_second: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Memories looked at or written a second, at most."
    )
    max_response_ms: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Where a store takes longer to answer, the run rests for as long as the answer took."
    )
    wait: StrictBool | Annotated[float, Field(gt=0, le=MAX_WAIT)] = Field(
        False, description="Wait for the report: for so many seconds, or (true) for as long as may be."
    )

    @property
    def pace(self) -> Pace:
        """How gently the stores are treated."""
        return Pace(self.rows_per_second, self.max_response_ms)

    @property
    def patience(self) -> float:
        """Seconds to wait."""
        return (MAX_WAIT / 2 if self.wait else 0.0) if isinstance(self.wait, bool) else self.wait


class StatsQuery(Asked):
    """Whose statistics are meant."""

    user_id: Tenant = None


class RunsQuery(Asked):
    """Which runs to list."""

    user_id: Annotated[Tenant, Field(description="Runs of this tenant; without it, of all.")] = None
    kind: RunKind | None = None
    state: RunState | None = None
    after: UUID | None = Field(None, description="`next` of the page before.")
    limit: Limit = 100


class InconsistencyQuery(Asked):
    """Which inconsistencies to list."""

    user_id: Annotated[Tenant, Field(description="Of this tenant; without it, of all.")] = None
    kind: Kind | None = None
    run_id: UUID | None = Field(None, description="Last seen by this run.")
    state: Literal["open", "resolved", "all"] = "open"
    after: Annotated[int, Field(ge=0, lt=2**63, description="`next` of the page before.")] = 0
    limit: Limit = 100


class OutboxQuery(Asked):
    """Which entries of the outbox to list."""

    user_id: Annotated[Tenant, Field(description="Of this tenant; without it, of all.")] = None
    state: Literal["pending", "dead", "all"] = "all"
    after: Cursor = None
    limit: Limit = 100


class RunTold(Told):
    """A run. ``request`` is what was asked for, ``report`` what it found and did, or why it stopped."""

    run_id: Uuid
    kind: RunKind
    user_id: str | None
    state: RunState
    request: Json
    report: Json | None
    attempts: int
    cancel_requested: bool
    started_at: Time
    updated_at: Time
    finished_at: Time | None
    lease_expires_at: Time | None


class CancelledTold(RunTold):
    """A run that was asked to stop. ``status`` says what the asking did, such as ``requested``."""

    status: str


class RunsTold(Told):
    """Runs, the newest first."""

    runs: list[RunTold]
    next: Uuid | None


class EntityNamed(Told):
    """An entity by its type and its key."""

    type: str | None
    key: str | None


class InconsistencyTold(Told):
    """One way in which one memory's (or entity's) copy in the graph is not what truth says."""

    memory_id: str | None
    user_id: str
    kind: Kind
    depth: Depth
    vector_version: int | None
    graph_version: int | None
    entity: EntityNamed | None
    reason: str | None


class RecordedTold(InconsistencyTold):
    """An inconsistency as it is kept; open as long as ``resolved_at`` is null."""

    run_id: Uuid | None
    first_seen: Time
    last_seen: Time
    resolved_at: Time | None
    resolved_by: Uuid | None


class InconsistenciesTold(Told):
    """Inconsistencies in the order in which they were found."""

    inconsistencies: list[RecordedTold]
    next: int | None


class CheckedTold(Told):
    """Live memories that were looked at in each store."""

    vector: int
    graph: int


class CheckTold(Told):
    """What a check found. ``advice`` is the command that mends it."""

    run_id: Uuid
    depth: Depth
    user_id: str | None
    complete: bool
    in_step: bool
    checked: CheckedTold
    pending: int
    dead: int
    found: int
    counts: dict[Kind, int]
    inconsistencies: list[InconsistencyTold]
    unknown: int
    independent: bool
    notes: list[str]
    advice: str | None
    started_at: Time
    duration_ms: float


class RepairTold(CheckTold):
    """What a repair found and did; a dry run's has the same shape."""

    dry_run: bool
    strategy: Strategy
    planned: int
    repaired: int
    refused: int
    failed: int


class RebuildTold(Told):
    """What a rebuild wrote. A dry run knows the memories of truth alone; null is what was not counted."""

    run_id: Uuid
    user_id: str | None
    complete: bool
    dry_run: bool
    memories: int | None
    exact: bool = Field(default=True, description="False: there are more memories than that.")
    nodes: int | None
    edges: int | None
    removed: int | None
    refused: int | None
    pending: int | None
    extracted: int | None
    notes: list[str]
    started_at: Time
    duration_ms: float


class FullTold(Told):
    """A full sync: a repair, and a check of what is left."""

    run_id: Uuid
    in_step: bool
    complete: bool
    repair: RepairTold
    after: CheckTold
    duration_ms: float


ReportTold = CheckTold | RepairTold | RebuildTold | FullTold

REPORTS: dict[RunKind, type[CheckTold | RebuildTold | FullTold]] = {
    RunKind.CHECK: CheckTold,
    RunKind.REPAIR: RepairTold,
    RunKind.REBUILD: RebuildTold,
    RunKind.FULL: FullTold,
}


class DriftTold(Told):
    """What one finished check found, in short."""

    run_id: Uuid
    depth: Depth
    user_id: str | None
    finished_at: Time
    complete: bool
    found: int


class StatsTold(Told):
    """The state of the sync; null is what was never measured, or is not told of one tenant."""

    last_checks: dict[Depth, DriftTold]
    open: dict[Kind, int] | None
    drift: list[DriftTold]
    pending: int | None
    dead: int | None
    oldest_pending_s: float | None
    running: list[Uuid]
    repairs: int | None
    repaired: int | None
    rebuilds: int | None
    rebuilt: int | None


class EntryTold(Told):
    """One memory whose graph copy is in doubt."""

    id: str
    user_id: str
    version: int
    attempts: int
    reason: str | None
    created_at: Time
    due_at: Time
    dead: bool


class EntriesTold(Told):
    """Entries of the outbox in the order of (user_id, id)."""

    entries: list[EntryTold]
    next: str | None


class RetriedTold(Told):
    """How many dead entries are to be tried again."""

    status: Literal["retried", "already_retried"]
    retried: int


class DiscardedTold(Told):
    """Whether a dead entry was given up; ``already_gone``: there is none."""

    status: Literal["discarded", "already_gone"]
    id: str
    user_id: str
