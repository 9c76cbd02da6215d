"""How runs lie in documents. Request, cursor and report are texts: Qdrant has no business in them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from persistence.ports.runs import Run, RunKind, RunState
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Payload

#: The state of a run that has not begun yet: it is seen by nobody but those who want to begin one.
BEGINNING = "beginning"


def timed_uuid(moment: int) -> UUID:
    """Return a UUID in the order of time (version 7; the fraction of the millisecond follows the version)."""
    milliseconds, rest = divmod(moment, 1_000)
    head = milliseconds << 16 | 7 << 12 | rest * 4_096 // 1_000
    return UUID(int=head << 64 | 2 << 62 | secrets.randbits(62))


def born(run_id: UUID) -> int:
    """Return the moment of a ``timed_uuid``."""
    head = run_id.int >> 64
    return (head >> 16) * 1_000 + -(-(head & 0xFFF) * 1_000 // 4_096)


def new_run(kind: RunKind, user_id: str | None, request: Mapping[str, Any]) -> Payload:
    """Return a run that is about to begin."""
    wall = layout.now()
    run_id = timed_uuid(wall)
    return {
        "type": "run",
        "id": str(run_id),
        "born": born(run_id),
        "kind": kind.value,
        "user_id": user_id or "",
        "state": BEGINNING,
        "request": to_json(request),
        "depth": str(request.get("depth", "")),
        "wet": int(request.get("dry_run") is False),
        "token": 0,
        "attempts": 0,
        "cancel": False,
        "started": wall,
        "updated": wall,
        "expires": 0,
    }


def to_json(value: Mapping[str, Any]) -> str:
    """Return JSON."""
    return json.dumps(dict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_run(fields: Payload) -> Run:
    """Make a run of its document."""
    cursor, report, finished = fields.get("cursor"), fields.get("report"), fields.get("finished")
    running = fields["state"] == RunState.RUNNING.value
    return Run(
        id=UUID(fields["id"]),
        kind=RunKind(fields["kind"]),
        user_id=fields["user_id"] or None,
        state=RunState(fields["state"]),
        request=json.loads(fields["request"]),
        cursor=None if cursor is None else json.loads(cursor),
        report=None if report is None else json.loads(report),
        token=fields["token"],
        attempts=fields["attempts"],
        cancel_requested=fields["cancel"],
        started_at=layout.moment(fields["started"]),
        updated_at=layout.moment(fields["updated"]),
        finished_at=None if finished is None else layout.moment(finished),
        lease_expires_at=layout.moment(fields["expires"]) if running else None,
    )
