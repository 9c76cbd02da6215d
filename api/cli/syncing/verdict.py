"""What follows from a report: the exit code, and the command to go on with.

Reports are looked at as JSON here and beside: one that was kept with its run reads the same as one just made.
"""

from __future__ import annotations

from collections.abc import Callable

from api.cli._run import ATTENTION, DONE, TROUBLE
from api.shapes import Json
from sync import CheckReport, RebuildReport, RepairReport, Run, RunKind, SyncResult
from sync.reports import check_json, rebuild_json, repair_json, sync_json
from sync.service import Report


def as_json(report: Report) -> tuple[RunKind, Json]:
    """Return a report as JSON, and what made it."""
    match report:
        case CheckReport():
            return RunKind.CHECK, check_json(report)
        case RepairReport():
            return RunKind.REPAIR, repair_json(report)
        case RebuildReport():
            return RunKind.REBUILD, rebuild_json(report)
        case SyncResult():
            return RunKind.FULL, sync_json(report)


def resume(run_id: object) -> str:
    """Return the command that takes a run up where it was left."""
    return f"diptych runs resume {run_id}"


def again(run: Run) -> str:
    """Return what takes up a run of whatever kind; a move needs stores that its run does not name."""
    return "the same diptych migrate command" if run.kind is RunKind.MOVE else resume(run.id)


def exit_code(kind: RunKind, report: Json) -> int:
    """Return 0 where nothing is left to do, 1 where something is, 2 where not everything was reached."""
    if not report["complete"]:
        return TROUBLE
    return ATTENTION if _LEFT[kind](report) else DONE


def _left_by_repair(report: Json) -> int:
    left = report["refused"] + report["failed"]
    return int(left + report["planned"] if report["dry_run"] else left)


_LEFT: dict[RunKind, Callable[[Json], int]] = {
    RunKind.CHECK: lambda report: int(report["found"]),
    RunKind.REPAIR: _left_by_repair,
    RunKind.REBUILD: lambda report: int(report["refused"] or 0),
    RunKind.FULL: lambda report: int(report["after"]["found"]),
}


def hint(kind: RunKind, report: Json) -> str | None:
    """Return the command to go on with, None where there is nothing left to do."""
    if kind is RunKind.CHECK:
        return _text(report["advice"])
    if kind is RunKind.FULL:
        return _text(report["after"]["advice"])
    if not report["complete"]:
        return resume(report["run_id"])
    if kind is RunKind.REPAIR and report["dry_run"] and report["planned"]:
        return "the same command with --apply"
    return "diptych relay" if report["pending"] or report.get("failed") else None


def _text(advice: object) -> str | None:
    return None if advice is None else str(advice)


def notes(kind: RunKind, report: Json) -> list[str]:
    """Return what a run has to say besides its numbers, each sentence once."""
    reports = (report["repair"], report["after"]) if kind is RunKind.FULL else (report,)
    return list(dict.fromkeys(note for each in reports for note in each["notes"]))
