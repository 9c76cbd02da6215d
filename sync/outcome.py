"""From what a run counted to the report that people and programs read."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from persistence.ports.runs import Depth, Kind
from persistence.results import Count, OutboxStats
from sync.asked import Asked
from sync.model import Checked, CheckReport, OnProgress, Progress, RebuildReport, RepairReport, Scope
from sync.rebuild import Written
from sync.repair import Counts
from sync.tally import Tally

#: From this share of memories missing on, writing the graph anew is the shorter way.
MOSTLY = 0.5


class Progressing:
    """Tells whoever asked how far a run is."""

    def __init__(self, run_id: UUID, tell: OnProgress | None) -> None:
        self._run_id = run_id
        self._tell = tell
        self._phase = ""
        self._began = time.monotonic()
        self._from = 0
        self.total: int | None = None

    def at(self, phase: str, done: int) -> None:
        """Say that ``done`` items of a phase are done; rates are those since the phase began (here)."""
        if self._tell is None:
            return
        if phase != self._phase:
            self._phase, self._began, self._from = phase, time.monotonic(), done
        rate = (done - self._from) / max(time.monotonic() - self._began, 1e-9)
        left = None if self.total is None or rate <= 0 else max(0, self.total - done) / rate
        self._tell(Progress(self._run_id, phase, done, self.total, rate, left))


def check_report(
    run_id: UUID,
    asked: Asked,
    tally: Tally,
    outbox: OutboxStats | None,
    started_at: datetime,
    *,
    independent: bool,
    seconds: float,
) -> CheckReport:
    """Return what a check found; ``outbox`` None: it could not be read."""
    complete = tally.unknown == 0 and outbox is not None
    pending, dead = (outbox.pending + outbox.dead, outbox.dead) if outbox else (0, 0)
    return CheckReport(
        run_id=run_id,
        depth=asked.depth,
        user_id=asked.scope.user_id,
        complete=complete,
        in_step=complete and not tally.counts and not pending,
        checked=Checked(tally.vector, tally.graph),
        pending=pending,
        dead=dead,
        counts=dict(tally.counts),
        inconsistencies=tuple(tally.first),
        unknown=tally.unknown,
        independent=independent,
        notes=tuple(tally.notes),
        advice=advice(asked.scope, asked.depth, tally, pending, dead),
        started_at=started_at,
        duration_ms=seconds * 1_000,
    )


def advice(scope: Scope, depth: Depth, tally: Tally, pending: int, dead: int) -> str | None:
    """Return the command that mends what was found, None where there is nothing to mend."""
    if tally.unknown:
        return "diptych status"
    missing, only = tally.counts.get(Kind.MISSING, 0), _only(scope)
    if missing > MOSTLY * max(tally.vector, 1) and scope.ids is None:
        return f"diptych rebuild{only}"
    if tally.counts:
        at = "" if depth is Depth.QUICK else f" --depth {depth.value}"
        return f"diptych repair --apply{at}{only}"
    if dead:
        return "diptych dead-letters list"
    return "diptych relay" if pending else None


def _only(scope: Scope) -> str:
    """Return the options that name a scope, safe to be pasted into a shell."""
    user = "" if scope.user_id is None else f" --user {shlex.quote(scope.user_id)}"
    return user + "".join(f" --id {shlex.quote(memory_id)}" for memory_id in scope.ids or ())


def repair_report(
    check: CheckReport, asked: Asked, counts: Counts, notes: tuple[str, ...], *, pending: int | None, seconds: float
) -> RepairReport:
    """Return what a repair did; ``pending`` is after it, None where it could not be read."""
    left = check.found - counts.repaired if asked.applies else check.found
    return RepairReport(
        check=check,
        dry_run=not asked.applies,
        strategy=asked.strategy,
        planned=counts.planned,
        repaired=counts.repaired,
        refused=counts.refused,
        failed=counts.failed,
        in_step=check.complete and left == 0 and pending == 0,
        notes=check.notes + notes,
        duration_ms=seconds * 1_000,
    )


def rebuild_report(
    run_id: UUID,
    asked: Asked,
    written: Written,
    started_at: datetime,
    *,
    complete: bool,
    nodes: int | None,
    refused: Mapping[str, str],
    notes: tuple[str, ...],
    seconds: float,
) -> RebuildReport:
    """Return what a rebuild wrote."""
    return RebuildReport(
        run_id=run_id,
        user_id=asked.scope.user_id,
        complete=complete,
        dry_run=asked.dry_run,
        memories=written.memories,
        exact=True,
        nodes=nodes,
        edges=written.edges,
        removed=written.removed,
        refused=sum(written.orphans.get(user_id, 0) for user_id in refused),
        pending=written.pending,
        extracted=written.extracted,
        notes=(*notes, *refused.values()),
        started_at=started_at,
        duration_ms=seconds * 1_000,
    )


def rebuild_plan(
    run_id: UUID, asked: Asked, memories: Count, started_at: datetime, *, notes: tuple[str, ...], seconds: float
) -> RebuildReport:
    """Return what is known of a rebuild before anything is written: of how many memories truth would have it made."""
    return RebuildReport(
        run_id=run_id,
        user_id=asked.scope.user_id,
        complete=memories.value is not None,
        dry_run=True,
        memories=memories.value,
        exact=memories.exact,
        nodes=None,
        edges=None,
        removed=None,
        refused=None,
        pending=None,
        extracted=None,
        notes=notes,
        started_at=started_at,
        duration_ms=seconds * 1_000,
    )
