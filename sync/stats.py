"""The state of the sync, from the durable records. What was never measured is None, and never 0."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from persistence.assembly import Parts
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState
from persistence.retry import Deadline
from sync.journal import JOURNAL_TIME
from sync.model import DriftPoint, SyncStats
from sync.pair import UNREADABLE

T = TypeVar("T")

#: Finished checks that are shown as drift over time.
POINTS = 50
RUNNING = 100


async def gather_stats(parts: Parts) -> SyncStats:
    """Read what the runs have left. Raises VectorStoreError where not even they can be read."""
    store = parts.truth.store

    async def read(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await parts.truth.read(call, Deadline(JOURNAL_TIME))

    last = await read(store.last_checks)
    checks = await read(lambda: store.runs(RunQuery(RunKind.CHECK, state=RunState.DONE), limit=POINTS))
    running = await read(lambda: store.runs(RunQuery(state=RunState.RUNNING), limit=RUNNING))
    totals = await read(store.run_totals)
    outbox = await _obtained(lambda: read(store.outbox_stats))
    return SyncStats(
        last_checks={point.depth: point for point in map(_point, last)},
        open=await read(lambda: store.count_open(None)) if last else None,
        drift=tuple(map(_point, checks)),
        pending=outbox.pending if outbox else None,
        dead=outbox.dead if outbox else None,
        oldest_pending_s=outbox.oldest_age_s if outbox else None,
        running=tuple(run.id for run in running),
        repairs=totals.repairs,
        repaired=totals.repaired,
        rebuilds=totals.rebuilds,
        rebuilt=totals.rebuilt,
    )


def _point(run: Run) -> DriftPoint:
    """Return what a finished check found; a full sync counts by what it left."""
    report = run.report or {}
    report = report.get("after", report)
    return DriftPoint(
        run.id,
        Depth(report["depth"]),
        run.user_id,
        run.finished_at or run.updated_at,
        bool(report["complete"]),
        int(report["found"]),
    )


async def _obtained(call: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    try:
        return await call()
    except UNREADABLE:
        return None
