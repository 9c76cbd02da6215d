"""One run: what it was asked for, what it says, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.cli.syncing.words import check_sentence, rebuild_sentence, repair_sentence
from api.dashboard.words import span
from persistence.errors import RunNotFoundError
from persistence.ports.runs import Run, RunKind, RunState
from sync import Progress
from sync.reports import progress_json

#: Runs that can be taken up again.
RESUMABLE = {RunState.INTERRUPTED, RunState.CANCELLED}


@dataclass(frozen=True, slots=True)
class RunView:
    """A run and what follows from it."""

    run: Run

    @property
    def left(self) -> bool:
        """Whether whoever ran it is gone: its lease has run out."""
        lease = self.run.lease_expires_at
        return self.run.state is RunState.RUNNING and (lease is None or lease < datetime.now(UTC))

    @property
    def under_way(self) -> bool:
        """Whether somebody is at it."""
        return self.run.state is RunState.RUNNING and not self.left

    @property
    def resumable(self) -> bool:
        """Whether it can be taken up; a move needs both of its stores, which its run does not name."""
        return self.run.kind is not RunKind.MOVE and (self.left or self.run.state in RESUMABLE)

    @property
    def found_by(self) -> UUID:
        """The run under which the record keeps what this one shows; a plan for what a check found shows that one's."""
        of_check = self.run.request.get("of_run") if self.dry else None
        return UUID(of_check) if of_check else self.run.id

    @property
    def dry(self) -> bool:
        """Whether it only planned."""
        return bool(self.run.request.get("dry_run")) and self.run.kind is not RunKind.CHECK

    @property
    def plannable(self) -> bool:
        """Whether it is a check whose findings a repair can be planned for."""
        return self.run.kind is RunKind.CHECK and self.done and bool(self.report.get("found"))

    @property
    def applicable(self) -> bool:
        """Whether it is a plan that can be carried out."""
        wanted = {RunKind.REPAIR: "planned", RunKind.REBUILD: "memories"}.get(self.run.kind)
        return wanted is not None and self.dry and self.done and bool(self.report.get(wanted))

    @property
    def done(self) -> bool:
        """Whether it came to its end."""
        return self.run.state is RunState.DONE

    @property
    def report(self) -> Mapping[str, Any]:
        """What it reported; a full sync what it left. Empty while it has said nothing."""
        report = self.run.report or {}
        return report.get("after") or report

    @property
    def numbers(self) -> list[tuple[str, int | None]]:
        """The numbers of its report; a plan shows those that it has."""
        report = {**(self.run.report or {}), **(self.run.report or {}).get("repair", {})}
        shown = [name for name in _NUMBERS if name in report and not (self.dry and report[name] is None)]
        return [(_named(name, report), report[name]) for name in shown]

    @property
    def took(self) -> str:
        """How long it took, or takes already."""
        return span(((self.run.finished_at or datetime.now(UTC)) - self.run.started_at).total_seconds())

    @property
    def sentence(self) -> str:
        """What it has to say."""
        if self.left:
            return "Whoever ran it is gone. It can be taken up where it was left."
        if self.run.state is not RunState.DONE:
            return _UNFINISHED[self.run.state]
        return _sentence(self.run.kind, self.run.report or {})


_NUMBERS = (
    "found", "planned", "repaired", "refused", "failed", "memories", "nodes", "edges", "removed", "pending", "dead",
    "extracted", "unknown",
)  # fmt: skip


def _named(name: str, report: Mapping[str, Any]) -> str:
    return "memories at least" if name == "memories" and report.get("exact") is False else name


_UNFINISHED = {
    RunState.RUNNING: "It is under way.",
    RunState.INTERRUPTED: "It was stopped before its end, and can be taken up where it was left.",
    RunState.CANCELLED: "It was stopped on request, and can be taken up where it was left.",
    RunState.FAILED: "It failed.",
}


def _sentence(kind: RunKind, report: Mapping[str, Any]) -> str:
    match kind:
        case RunKind.CHECK:
            return check_sentence(dict(report))
        case RunKind.REPAIR:
            return repair_sentence(dict(report))
        case RunKind.REBUILD:
            return rebuild_sentence(dict(report))
        case RunKind.FULL:
            return f"{repair_sentence(report['repair'])} {check_sentence(report['after'])}"
        case RunKind.MOVE:
            return "It came to its end."


def seen_by(run: Run, tenant: str | None) -> Run:
    """Return a run that a visitor may see; one of another tenant, or of all, is one that is not there."""
    if tenant is not None and run.user_id != tenant:
        raise RunNotFoundError
    return run


def progress_view(progress: Progress) -> Mapping[str, Any]:
    """Return how far a run is, with a share where the whole is known."""
    total = progress.total
    return {**progress_json(progress), "share": min(100, 100 * progress.done // total) if total else None}
