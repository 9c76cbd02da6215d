"""What checks, repairs and rebuilds are asked for, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind, RunKind

#: An orphan is deleted only while no more than so many are, and no more than this share of its tenant's memories.
ORPHANS_AT_MOST = 1_000
ORPHANS_SHARE = 0.10


class Strategy(StrEnum):
    """What a repair does about what it finds."""

    TRUTH_WINS = "truth_wins"
    """Bring the graph to what truth says: add, replace, and (within the cap) delete."""
    REPORT_ONLY = "report_only"
    """Change nothing; the same as a dry run, whatever else is asked for."""
    GRAPH_MISSING_ONLY = "graph_missing_only"
    """Add the memories that the graph lacks; replace and delete nothing."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at: all tenants, or one, or some memories of one."""

    user_id: str | None = None
    ids: tuple[str, ...] | None = None

    @property
    def keys(self) -> tuple[Key, ...] | None:
        """The memories that are named, None where a tenant or everything is meant."""
        if self.ids is None or self.user_id is None:
            return None
        return tuple(Key(self.user_id, memory_id) for memory_id in dict.fromkeys(self.ids))

    def __str__(self) -> str:
        return "all tenants" if self.user_id is None else f"the tenant {self.user_id!r}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently the stores are treated.

    ``rows_per_second``: memories looked at or written, at most. ``max_response_ms``: where a store takes longer to
    answer, the run rests for as long as the answer took. None: as fast as it goes.
    """

    rows_per_second: float | None = None
    max_response_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. ``total`` None: not known; ``rate`` in items a second, ``remaining_s`` None: not known.

    The first comes as soon as the run is recorded, in the phase "begun".
    """

    run_id: UUID
    phase: str
    done: int
    total: int | None
    rate: float
    remaining_s: float | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """Live memories that were looked at in each store."""

    vector: int
    graph: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    ``complete`` False: something could not be read (``unknown`` of it), and what was not found may be there.
    ``in_step``: complete, no inconsistency, nothing pending. ``pending``: entries of the outbox, dead ones included,
    which are no inconsistencies. ``counts``: inconsistencies by kind; ``inconsistencies``: the first of them, up to the
    limit. ``independent`` False: the graph is this process's own projection of truth, so it proves little.
    ``advice`` is the command that mends it.
    """

    run_id: UUID
    depth: Depth
    user_id: str | None
    complete: bool
    in_step: bool
    checked: Checked
    pending: int
    dead: int
    counts: Mapping[Kind, int]
    inconsistencies: tuple[Inconsistency, ...]
    unknown: int
    independent: bool
    notes: tuple[str, ...]
    advice: str | None
    started_at: datetime
    duration_ms: float

    @property
    def found(self) -> int:
        """How many inconsistencies there are; what could not be read is none."""
        return sum(number for kind, number in self.counts.items() if kind is not Kind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did; a dry run's has the same shape.

    ``check`` is what was found before. ``planned`` is what can be mended, ``repaired`` what was, ``refused`` what was
    left, with the reason in ``notes``; ``failed`` is what the graph did not take: it is listed in the outbox.
    ``in_step`` is after the repair.
    """

    check: CheckReport
    dry_run: bool
    strategy: Strategy
    planned: int
    repaired: int
    refused: int
    failed: int
    in_step: bool
    notes: tuple[str, ...]
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild wrote. ``edges``: mentions and relationships; ``removed``: what the graph had and truth had not.

    ``refused``: orphans above the cap, left alone. ``pending``: memories that were left to the outbox. A dry run counts
    the memories of truth alone, up to a bound (``exact`` False: there are more); the other numbers are None, unknown.
    """

    run_id: UUID
    user_id: str | None
    complete: bool
    dry_run: bool
    memories: int | None
    exact: bool
    nodes: int | None
    edges: int | None
    removed: int | None
    refused: int | None
    pending: int | None
    extracted: int | None
    notes: tuple[str, ...]
    started_at: datetime
    duration_ms: float


@dataclass(frozen=True, slots=True)
class SyncResult:
    """A full sync: a check with its repair, and a check of what is left."""

    run_id: UUID
    repair: RepairReport
    after: CheckReport
    duration_ms: float

    @property
    def in_step(self) -> bool:
        """Whether both stores agree now."""
        return self.after.in_step


@dataclass(frozen=True, slots=True)
class DriftPoint:
    """What one finished check found."""

    run_id: UUID
    depth: Depth
    user_id: str | None
    finished_at: datetime
    complete: bool
    found: int


@dataclass(frozen=True, slots=True)
class SyncStats:
    """The state of the sync. What was never measured is None, not 0.

    ``last_checks``: by depth, the newest finished check. ``open``: inconsistencies that are open now, by kind.
    ``drift``: what the newest checks found, the newest first. ``repaired``, ``rebuilt``: memories, over the runs kept.
    """

    last_checks: Mapping[Depth, DriftPoint]
    open: Mapping[Kind, int] | None
    drift: tuple[DriftPoint, ...]
    pending: int | None
    dead: int | None
    oldest_pending_s: float | None
    running: tuple[UUID, ...]
    repairs: int | None
    repaired: int | None
    rebuilds: int | None
    rebuilt: int | None


def scope_request(scope: Scope) -> dict[str, Any]:
    """Return a scope as it is kept with a run."""
    return {} if scope.ids is None else {"ids": list(scope.ids)}


__all__ = [
    "CheckReport",
    "Checked",
    "Depth",
    "DriftPoint",
    "Inconsistency",
    "Kind",
    "OnProgress",
    "Pace",
    "Progress",
    "RebuildReport",
    "RepairReport",
    "RunKind",
    "Scope",
    "Strategy",
    "SyncResult",
    "SyncStats",
    "scope_request",
]  # fmt: skip
