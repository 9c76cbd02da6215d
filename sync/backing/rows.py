"""Rows as bytes: JSON, and behind the memories' their embeddings as little-endian floats of four bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from types import UnionType
from typing import Any
from uuid import UUID

import numpy as np

from persistence.errors import BackupDamagedError
from persistence.ports.checking import Head
from persistence.ports.outbox import OutboxEntry
from persistence.ports.runs import Depth, Inconsistency, Kind, Recorded, Run, RunKind, RunState
from persistence.ports.vector import Tombstone
from persistence.projection import bucket
from persistence.records import Memory, trusted
from persistence.vector.payloads import (
    entities_text,
    object_text,
    relationships_text,
    to_entities,
    to_metadata,
    to_relationships,
)
from sync.backing.manifest import Section

_FLOATS = np.dtype("<f4")
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=str).encode


def pack(section: Section, rows: Sequence[Any]) -> bytes:
    """Return rows of a section as the body of a frame."""
    text = _encode([_PACK[section](row) for row in rows]).encode()
    floats = (row.embedding.astype(_FLOATS).tobytes() for row in rows) if section is Section.MEMORIES else ()
    return b"".join((text, b"\n", *floats))


def unpack(section: Section, frame: bytes) -> list[Any]:
    """Return the rows of a frame. Raises BackupDamagedError."""
    text, _, floats = frame.partition(b"\n")
    try:
        rows = json.loads(text)
        if section is Section.MEMORIES:
            return list(_memories(rows, floats))
        return [_UNPACK[section](row) for row in rows]
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise BackupDamagedError(f"A row of the {section.value} is not as it was written.") from error


def order(head: Head) -> tuple[int, str, str]:
    """Return the place of a head among the others."""
    return bucket(head.user_id, head.id), head.user_id, head.id


# --- memories ---------------------------------------------------------------------------------------------------------


#: The columns of a memory.
_COLUMNS = (
    "id", "user_id", "agent_id", "run_id", "content", "metadata", "entities", "relationships", "extracted", "version",
    "digest", "created_at", "updated_at",
)  # fmt: skip


def _memory_row(memory: Memory) -> list[Any]:
    texts = {
        "metadata": object_text(memory.metadata),
        "entities": entities_text(memory.entities),
        "relationships": relationships_text(memory.relationships),
        "created_at": memory.created_at.isoformat(),
        "updated_at": memory.updated_at.isoformat(),
    }
    return [texts[name] if name in texts else getattr(memory, name) for name in _COLUMNS]


#: What their values are: with a checksum of his own making anybody can write anything there.
_MEMORY = (str, str, str | None, str | None, str, str, str, str, bool, int, int, str, str)

_TEXTS = {
    "metadata": to_metadata,
    "entities": to_entities,
    "relationships": to_relationships,
    "created_at": datetime.fromisoformat,
    "updated_at": datetime.fromisoformat,
}


def _memories(rows: list[list[Any]], floats: bytes) -> Iterator[Memory]:
    if not rows:
        return
    matrix = np.frombuffer(floats, dtype=_FLOATS).reshape(len(rows), -1).astype(np.float32)
    matrix.flags.writeable = False
    for row, embedding in zip(rows, matrix, strict=True):
        fields = dict(zip(_COLUMNS, _of_kinds(row, _MEMORY), strict=True))
        made = {name: make(fields[name]) for name, make in _TEXTS.items()}
        yield trusted(Memory, {**fields, **made, "embedding": embedding})


def _of_kinds(row: Any, kinds: tuple[type | UnionType, ...]) -> Any:
    """Return a row whose values are what a store is given. Raises TypeError, ValueError."""
    for value, kind in zip(row, kinds, strict=True):
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} stands where {kind} belongs")
    return row


# --- what else there is -----------------------------------------------------------------------------------------------


_MOMENTS = (
    "created_at",
    "due_at",
    "started_at",
    "updated_at",
    "finished_at",
    "lease_expires_at",
    "first_seen",
    "last_seen",
    "resolved_at",
)
_IDS = ("entry_id", "run_id", "resolved_by")


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose times and UUIDs are no texts any more."""
    moments = {name: datetime.fromisoformat(row[name]) for name in _MOMENTS if row.get(name) is not None}
    return {**row, **moments, **{name: UUID(row[name]) for name in _IDS if row.get(name) is not None}}


def _plain(row: Any) -> dict[str, Any]:
    """Return a row's fields as they are: ``asdict`` copies every UUID and time in them, at many times the cost."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _recorded_row(row: Recorded) -> dict[str, Any]:
    return {**_plain(row), "inconsistency": _plain(row.inconsistency)}


def _entry(row: dict[str, Any]) -> OutboxEntry:
    return OutboxEntry(**_typed(row))


def _run(row: dict[str, Any]) -> Run:
    given = {**_typed(row), "id": UUID(row["id"]), "kind": RunKind(row["kind"]), "state": RunState(row["state"])}
    return Run(**given)


def _recorded(row: dict[str, Any]) -> Recorded:
    said = row["inconsistency"]
    entity = None if said["entity"] is None else (said["entity"][0], said["entity"][1])
    one = Inconsistency(**{**said, "kind": Kind(said["kind"]), "depth": Depth(said["depth"]), "entity": entity})
    return Recorded(**{**_typed(row), "inconsistency": one})


_PACK: dict[Section, Any] = {
    Section.HEADS: list,
    Section.MEMORIES: _memory_row,
    Section.TOMBSTONES: lambda stone: [stone.user_id, stone.id, stone.version],
    Section.OUTBOX: _plain,
    Section.RUNS: _plain,
    Section.INCONSISTENCIES: _recorded_row,
}
_UNPACK: dict[Section, Any] = {
    Section.HEADS: lambda row: Head(*_of_kinds(row, (str, str, int, int))),
    Section.TOMBSTONES: lambda row: Tombstone(*_of_kinds(row, (str, str, int))),
    Section.OUTBOX: _entry,
    Section.RUNS: _run,
    Section.INCONSISTENCIES: _recorded,
}
