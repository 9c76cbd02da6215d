"""Reports as JSON: what is kept with a run, what the command line prints, what the API answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from persistence.ports.runs import Kind, Recorded, Run
from sync.model import CheckReport, DriftPoint, Progress, RebuildReport, RepairReport, SyncResult, SyncStats
from sync.tally import inconsistency_json

Json = dict[str, Any]


def time_text(moment: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the microsecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _counts(counts: Mapping[Kind, int]) -> Json:
    return {kind.value: number for kind, number in sorted(counts.items())}


def check_json(report: CheckReport) -> Json:
    """Return what a check found."""
    return {
        "run_id": str(report.run_id),
        "depth": report.depth.value,
        "user_id": report.user_id,
        "complete": report.complete,
        "in_step": report.in_step,
        "checked": {"vector": report.checked.vector, "graph": report.checked.graph},
        "pending": report.pending,
        "dead": report.dead,
        "found": report.found,
        "counts": _counts(report.counts),
        "inconsistencies": [inconsistency_json(one) for one in report.inconsistencies],
        "unknown": report.unknown,
        "independent": report.independent,
        "notes": list(report.notes),
        "advice": report.advice,
        "started_at": time_text(report.started_at),
        "duration_ms": round(report.duration_ms, 3),
    }


def repair_json(report: RepairReport) -> Json:
    """Return what a repair found and did: the check's fields, and its own."""
    return {
        **check_json(report.check),
        "in_step": report.in_step,
        "dry_run": report.dry_run,
        "strategy": report.strategy.value,
        "planned": report.planned,
        "repaired": report.repaired,
        "refused": report.refused,
        "failed": report.failed,
        "notes": list(report.notes),
        "duration_ms": round(report.duration_ms, 3),
    }


def rebuild_json(report: RebuildReport) -> Json:
    """Return what a rebuild wrote; null is what was not counted."""
    return {
        "run_id": str(report.run_id),
        "user_id": report.user_id,
        "complete": report.complete,
        "dry_run": report.dry_run,
        "memories": report.memories,
        "exact": report.exact,
        "nodes": report.nodes,
        "edges": report.edges,
        "removed": report.removed,
        "refused": report.refused,
        "pending": report.pending,
        "extracted": report.extracted,
        "notes": list(report.notes),
        "started_at": time_text(report.started_at),
        "duration_ms": round(report.duration_ms, 3),
    }


def sync_json(result: SyncResult) -> Json:
    """Return what a full sync found, did, and left."""
    return {
        "run_id": str(result.run_id),
        "in_step": result.in_step,
        "complete": result.after.complete,
        "repair": repair_json(result.repair),
        "after": check_json(result.after),
        "duration_ms": round(result.duration_ms, 3),
    }


def run_json(run: Run) -> Json:
    """Return a run."""
    return {
        "run_id": str(run.id),
        "kind": run.kind.value,
        "user_id": run.user_id,
        "state": run.state.value,
        "request": dict(run.request),
        "report": dict(run.report) if run.report is not None else None,
        "attempts": run.attempts,
        "cancel_requested": run.cancel_requested,
        "started_at": time_text(run.started_at),
        "updated_at": time_text(run.updated_at),
        "finished_at": time_text(run.finished_at),
        "lease_expires_at": time_text(run.lease_expires_at),
    }


def recorded_json(row: Recorded) -> Json:
    """Return an inconsistency as it is kept."""
    return {
        **inconsistency_json(row.inconsistency),
        "run_id": str(row.run_id) if row.run_id else None,
        "first_seen": time_text(row.first_seen),
        "last_seen": time_text(row.last_seen),
        "resolved_at": time_text(row.resolved_at),
        "resolved_by": str(row.resolved_by) if row.resolved_by else None,
    }


def progress_json(progress: Progress) -> Json:
    """Return how far a run is."""
    return {
        "run_id": str(progress.run_id),
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "rate": round(progress.rate, 3),
        "remaining_s": None if progress.remaining_s is None else round(progress.remaining_s, 3),
    }


def drift_json(point: DriftPoint) -> Json:
    """Return what one check found, in short."""
    return {
        "run_id": str(point.run_id),
        "depth": point.depth.value,
        "user_id": point.user_id,
        "finished_at": time_text(point.finished_at),
        "complete": point.complete,
        "found": point.found,
    }


def stats_json(stats: SyncStats) -> Json:
    """Return the state of the sync; null is what was never measured."""
    return {
        "last_checks": {depth.value: drift_json(point) for depth, point in stats.last_checks.items()},
        "open": None if stats.open is None else _counts(stats.open),
        "drift": [drift_json(point) for point in stats.drift],
        "pending": stats.pending,
        "dead": stats.dead,
        "oldest_pending_s": stats.oldest_pending_s,
        "running": [str(run_id) for run_id in stats.running],
        "repairs": stats.repairs,
        "repaired": stats.repaired,
        "rebuilds": stats.rebuilds,
        "rebuilt": stats.rebuilt,
    }
