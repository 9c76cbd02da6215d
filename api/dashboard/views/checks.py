"""The last checks, and what they found over time, of one tenant or of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api.dashboard.views.reading import of_truth
from persistence.assembly import Parts
from persistence.ports.runs import Run, RunKind, RunState
from sync import AsyncSyncService, Depth
from sync.model import DriftPoint

#: Finished checks that are looked at.
POINTS = 50


@dataclass(frozen=True, slots=True)
class Checks:
    """``last``: by depth. ``basis``: the newest check of everything that the visitor sees. ``drift``: lasting first."""

    last: Mapping[Depth, DriftPoint]
    basis: DriftPoint | None
    drift: tuple[DriftPoint, ...]


async def read_checks(parts: Parts, sync: AsyncSyncService, user_id: str | None) -> Checks:
    """Read the last checks from the record of runs. Raises VectorStoreError."""
    runs = await _finished(sync, user_id)
    whole = runs if user_id is not None else await _finished(sync, "")
    points = [point_of(run) for run in runs]
    lasting = (
        [point_of(run) for run in await of_truth(parts, lambda store: store.last_checks())] if user_id is None else []
    )
    last = {point.depth: point for point in lasting}
    for point in points:
        last.setdefault(point.depth, point)
    basis = next((point_of(run) for run in whole if run.request.get("ids") is None), None)
    return Checks(last, basis, tuple(reversed(points)))


async def _finished(sync: AsyncSyncService, user_id: str | None) -> list[Run]:
    """Return finished checks and full syncs, the newest first."""
    found: list[Run] = []
    for kind in (RunKind.CHECK, RunKind.FULL):
        found += await sync.list_runs(kind=kind, user_id=user_id, state=RunState.DONE, limit=POINTS)
    return sorted(found, key=_ended, reverse=True)[:POINTS]


def _ended(run: Run) -> float:
    return (run.finished_at or run.updated_at).timestamp()


def point_of(run: Run) -> DriftPoint:
    """Return what a finished check found; a full sync counts by what it left."""
    report = run.report or {}
    report = report.get("after", report)
    ended = run.finished_at or run.updated_at
    return DriftPoint(
        run.id, Depth(report["depth"]), run.user_id, ended, bool(report["complete"]), int(report["found"])
    )
