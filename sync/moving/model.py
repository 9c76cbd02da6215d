"""What a move counts while it goes on, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(slots=True)
class Moved:
    """How far a move is, as it is kept with its run.

    ``copied``, ``deleted``: memories and tombstones that were written. ``rounds`` of the catching up; ``behind``,
    ``others``: what the last comparison found, as in the report.
    """

    phase: str = "walk"
    after: list[str] | None = None
    walked: int = 0
    copied: int = 0
    deleted: int = 0
    rounds: int = 0
    behind: int = 0
    others: int = 0

    def saved(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What a move did; a dry run's has the same shape.

    ``source``, ``target``: live memories on both sides at the end. ``planned``: memories that the target lacked, or had
    in an older version, before. ``copied``, ``deleted``: memories and tombstones written into the target. ``behind``:
    what the target still lacks, because somebody goes on writing; ``others``: what it has and the source has not, or
    in an older version. ``in_step``: complete, both sides the same (``others`` that were to stay aside).
    """

    run_id: UUID | None
    user_id: str | None
    dry_run: bool
    complete: bool
    in_step: bool
    source: int
    target: int
    planned: int
    copied: int
    deleted: int
    behind: int
    others: int
    rounds: int
    notes: tuple[str, ...]
    started_at: datetime
    duration_ms: float


def move_json(report: MoveReport) -> Mapping[str, Any]:
    """Return a report as JSON."""
    return {
        **asdict(report),
        "run_id": None if report.run_id is None else str(report.run_id),
        "notes": list(report.notes),
        "started_at": report.started_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "duration_ms": round(report.duration_ms, 3),
    }
