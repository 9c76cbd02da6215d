"""The state of the sync, from the durable records. What was never measured is None, and never 0."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Newest:
    """What is newest of the runs: by depth the newest finished check, and the runs that go on."""

    last_checks: Mapping[Depth, DriftPoint]
    running: tuple[Run, ...]


async def gather_newest(parts: Parts, user_id: str | None, deadline: Deadline) -> Newest | None:
    """Read what is newest, of one tenant's own runs or of all; None where it cannot be read in time."""
    try:
        checks, running = await asyncio.gather(_last(parts, user_id, deadline), _running(parts, user_id, deadline))
    except UNREADABLE:
        return None
    return Newest({point.depth: point for point in checks}, tuple(running))


async def _last(parts: Parts, user_id: str | None, deadline: Deadline) -> list[DriftPoint]:
    """Return finished checks, the newest of each depth last."""
    store = parts.truth.store
    if user_id is None:
        return list(map(_point, await parts.truth.read(store.last_checks, deadline)))
    kinds = (RunKind.CHECK, RunKind.FULL)
    ended = [await _runs(parts, RunQuery(kind, user_id, RunState.DONE), POINTS, deadline) for kind in kinds]
    return sorted(map(_point, [*ended[0], *ended[1]]), key=lambda point: point.finished_at)


async def _running(parts: Parts, user_id: str | None, deadline: Deadline) -> list[Run]:
    return await _runs(parts, RunQuery(user_id=user_id, state=RunState.RUNNING), RUNNING, deadline)


async def _runs(parts: Parts, query: RunQuery, limit: int, deadline: Deadline) -> list[Run]:
    store = parts.truth.store
    return await parts.truth.read(lambda: store.runs(query, limit=limit), deadline)


async def gather_tenant(parts: Parts, user_id: str) -> SyncStats:
    """Read what the runs of one tenant have left, each of them one of its newest."""
    store, deadline = parts.truth.store, Deadline(JOURNAL_TIME)

    async def read(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await parts.truth.read(call, deadline)

    checks = await _runs(parts, RunQuery(RunKind.CHECK, user_id, RunState.DONE), POINTS, deadline)
    points = await _last(parts, user_id, deadline)
    running = await _running(parts, user_id, deadline)
    outbox = await _obtained(lambda: read(lambda: store.outbox_stats(user_id)))
    return SyncStats(
        last_checks={point.depth: point for point in points},
        open=await read(lambda: store.count_open(user_id)) if points else None,
        drift=tuple(map(_point, checks)),
        pending=outbox.pending if outbox else None,
        dead=outbox.dead if outbox else None,
        oldest_pending_s=outbox.oldest_age_s if outbox else None,
        running=tuple(run.id for run in running),
        repairs=None,
        repaired=None,
        rebuilds=None,
        rebuilt=None,
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
