"""The rows of runs, of what they found, and of leases; times are microseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from persistence.ports.runs import Inconsistency, Recorded, Run, RunKind, RunState
from persistence.vector.memory.times import moment
from persistence.vector.payloads import to_metadata


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run. ``request``, ``cursor`` and ``report`` are JSON texts."""

    id: UUID
    kind: RunKind
    user_id: str | None
    state: RunState
    request: str
    cursor: str | None
    report: str | None
    token: int
    attempts: int
    cancel_requested: bool
    started_at: int
    updated_at: int
    finished_at: int | None
    expires_at: int | None

    @property
    def depth(self) -> str:
        """The depth that was asked for, "" where the run has none."""
        return str(to_metadata(self.request).get("depth") or "")


def to_run(row: RunRow) -> Run:
    """Return a run as the port has it."""
    return Run(
        id=row.id,
        kind=row.kind,
        user_id=row.user_id,
        state=row.state,
        request=to_metadata(row.request),
        cursor=None if row.cursor is None else to_metadata(row.cursor),
        report=None if row.report is None else to_metadata(row.report),
        token=row.token,
        attempts=row.attempts,
        cancel_requested=row.cancel_requested,
        started_at=moment(row.started_at),
        updated_at=moment(row.updated_at),
        finished_at=None if row.finished_at is None else moment(row.finished_at),
        lease_expires_at=None if row.expires_at is None else moment(row.expires_at),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """An inconsistency as it is kept; ``resolved_at`` None: it is open."""

    number: int
    one: Inconsistency
    run_id: UUID | None
    first_seen: int
    last_seen: int
    resolved_at: int | None = None
    resolved_by: UUID | None = None


def to_recorded(found: Found) -> Recorded:
    """Return an inconsistency as the port has it."""
    resolved_at = None if found.resolved_at is None else moment(found.resolved_at)
    seen = moment(found.first_seen), moment(found.last_seen)
    return Recorded(found.number, found.one, found.run_id, *seen, resolved_at, found.resolved_by)


@dataclass(frozen=True, slots=True)
class Lease:
    """A named lease; it stays when it is given back, so that tokens grow from holder to holder."""

    name: str
    holder: UUID
    token: int
    expires_at: int
