"""The outbox entry in a point: made, named, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from persistence.ports.outbox import OutboxEntry
from persistence.vector.qdrant.engine import Found, Payload
from persistence.vector.qdrant.layout import ENTRY, KEY, moment


def entry_name(entry_id: UUID, version: int) -> str:
    """Return the text that names an entry at one version."""
    return f"{entry_id}:{version}"


def entry_of(payload: Mapping[str, Any]) -> tuple[UUID, int] | None:
    """Return the id and the version of the entry that a point has."""
    name = payload.get("entry")
    if name is None:
        return None
    entry_id, _, version = name.partition(":")
    return UUID(entry_id), int(version)


def new_entry(entry_id: UUID, version: int, *, at: int, due: int, disabled: bool = False) -> Payload:
    """Return the fields of an entry that nobody has claimed, those of an earlier one taken away."""
    return {
        "entry": entry_name(entry_id, version),
        "entry_at": at,
        "attempts": 0,
        "claim": 0,
        "claimant": None,
        "due": due,
        "dead": None,
        "reason": None,
        "disabled": int(disabled) or None,
    }


#: What takes an entry away.
NO_ENTRY: Payload = dict.fromkeys(ENTRY[len(KEY) :])


def to_entry(found: Found) -> OutboxEntry:
    """Make an outbox entry of a point that has one."""
    fields = found.payload
    entry_id, _, version = fields["entry"].partition(":")
    dead = fields.get("dead")
    return OutboxEntry(
        user_id=fields["user_id"],
        id=fields["id"],
        entry_id=UUID(entry_id),
        version=int(version),
        attempts=fields["attempts"],
        created_at=moment(fields["entry_at"]),
        due_at=moment(fields["due"] if dead is None else dead),
        claim=fields["claim"],
        dead=dead is not None,
        disabled=bool(fields.get("disabled")),
        reason=fields.get("reason"),
        forced=bool(fields.get("forced")),
    )
