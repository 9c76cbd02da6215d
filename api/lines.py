"""The lines of an export: memories as `import` takes them, and, in a full one, versions, tombstones and the floor.

A full export says in its first line what it is, and in its last how much it holds, so that one that was cut off is
known for it. JSON has no floats of four bytes: an embedding's numbers are written as the doubles that they are exactly.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from api.shapes import time_text
from persistence.errors import PersistenceError
from persistence.ports.vector import StoreInfo, Tombstone
from persistence.projection import EXACT
from persistence.records import Content, Embedding, Entities, Memory, Record, Relationships, trusted, validated
from persistence.text import JsonObject, Name

FORMAT = 1
KIND = "full export"

Version = Annotated[int, Field(gt=0, lt=EXACT)]


class FullExportError(PersistenceError):
    """The file is no full export that can be read to its end."""


class Header(Record):
    """The first line. ``user_id`` None: all tenants."""

    diptych: Literal["full export"]
    format: int
    model: str
    dimension: int
    floor: Annotated[int, Field(ge=0, lt=EXACT)]
    user_id: str | None


class Counts(Record):
    """The last line: what stands before it, and the floor at the end."""

    memories: int
    tombstones: int
    floor: Annotated[int, Field(ge=0, lt=EXACT)]


class _Memory(Record):
    id: Name
    user_id: Name
    agent_id: Name | None = None
    run_id: Name | None = None
    content: Content
    metadata: JsonObject = Field(default_factory=dict)
    entities: Entities = ()
    relationships: Relationships = ()
    extracted: bool
    embedding: Embedding
    version: Version
    digest: Annotated[int, Field(ge=0, lt=2**63)]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class _Tombstone(Record):
    user_id: Name
    id: Name
    version: Version
    deleted: Literal[True]


def header_line(info: StoreInfo, user_id: str | None) -> str:
    """Return the first line of a full export."""
    about = {"model": info.embedding_model, "dimension": info.dimension, "floor": info.floor, "user_id": user_id}
    return _encode({"diptych": KIND, "format": FORMAT, **about})


def end_line(memories: int, tombstones: int, floor: int) -> str:
    """Return the last line of a full export."""
    return _encode({"end": {"memories": memories, "tombstones": tombstones, "floor": floor}})


def memory_line(memory: Memory, *, full: bool, embeddings: bool = True) -> str:
    """Return the line of a memory; not ``full``: what somebody who stores it would give."""
    fields: dict[str, Any] = {
        "id": memory.id,
        "user_id": memory.user_id,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "content": memory.content,
        "metadata": memory.metadata,
        "entities": [entity.model_dump() for entity in memory.entities],
        "relationships": [relation.model_dump(exclude_none=True) for relation in memory.relationships],
        "created_at": time_text(memory.created_at),
    }
    if full:
        # As text: not every reader of JSON keeps 63 bits of a number.
        fields |= {"version": memory.version, "digest": str(memory.digest), "extracted": memory.extracted}
        fields |= {"updated_at": time_text(memory.updated_at)}
    if embeddings and memory.embedding is not None:
        fields["embedding"] = memory.embedding.tolist()
    return _encode({name: value for name, value in fields.items() if value is not None})


def tombstone_line(stone: Tombstone) -> str:
    """Return the line of a deleted memory."""
    return _encode({"user_id": stone.user_id, "id": stone.id, "version": stone.version, "deleted": True})


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def is_full(raw: bytes) -> bool:
    """Say whether a file that begins with this line is a full export."""
    if b'"diptych"' not in raw:
        return False
    try:
        return _object(raw).get("diptych") == KIND
    except ValueError:
        return False


def _object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that a line is. Raises ValueError."""
    try:
        data = json.loads(raw)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # as JSON that is none
    return data


def read_header(raw: bytes) -> Header:
    """Return the first line. Raises FullExportError, InvalidInputError."""
    data = _object(raw)
    if data.get("format") != FORMAT:
        raise FullExportError(
            f"The file has the format {data.get('format')}, and this version reads {FORMAT}.", hint="upgrade diptych"
        )
    return validated(Header, data)


def read_line(raw: bytes) -> Memory | Tombstone | Counts:
    """Return what a line behind the first holds. Raises InvalidInputError, ValueError (no JSON)."""
    data = _object(raw)
    if "end" in data:
        return validated(Counts, data["end"])
    if "deleted" in data:
        stone = validated(_Tombstone, data)
        return Tombstone(stone.user_id, stone.id, stone.version)
    if isinstance(data.get("digest"), str):
        data["digest"] = int(data["digest"])
    return trusted(Memory, dict(validated(_Memory, data)))
