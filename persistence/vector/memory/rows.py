"""The rows of memories and of the outbox; one that was read stays what it is, whatever is written later.

Times are microseconds since 1970. What a memory says is kept as text: that loads faster than objects do, and whoever
reads a memory gets objects of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from persistence.ports.outbox import Key, OutboxEntry
from persistence.ports.vector import GraphIdentity, MemoryWrite
from persistence.records import Memory, Vector, trusted
from persistence.vector.memory.times import micros, moment
from persistence.vector.payloads import (
    entities_text,
    object_text,
    relationships_text,
    to_entities,
    to_metadata,
    to_relationships,
)


@dataclass(frozen=True, slots=True)
class About:
    """What the store says of itself. ``claims``, ``tokens``, ``numbers``: the last one given out of each."""

    store_id: UUID
    model: str | None = None
    dimension: int | None = None
    floor: int = 0
    graph: GraphIdentity | None = None
    claims: int = 0
    tokens: int = 0
    numbers: int = 0


class Row:
    """A memory. ``parsed``: its metadata as an object, made when a filter first asks for it, and never handed out."""

    __slots__ = (
        "agent_id",
        "bucket",
        "content",
        "created_at",
        "digest",
        "embedding",
        "entities",
        "extracted",
        "id",
        "metadata",
        "parsed",
        "relationships",
        "run_id",
        "updated_at",
        "user_id",
        "version",
        "write_id",
    )

    def __init__(  # noqa: PLR0917  # the order of the columns in the files
        self,
        user_id: str,
        id: str,  # noqa: A002  # as the field is called everywhere
        agent_id: str | None,
        run_id: str | None,
        content: str,
        metadata: str,
        entities: str,
        relationships: str,
        extracted: bool,  # noqa: FBT001  # a column
        version: int,
        digest: int,
        bucket: int,
        write_id: str,
        created_at: int,
        updated_at: int,
        embedding: Vector,
    ) -> None:
        self.user_id = user_id
        self.id = id
        self.agent_id = agent_id
        self.run_id = run_id
        self.content = content
        self.metadata = metadata
        self.entities = entities
        self.relationships = relationships
        self.extracted = extracted
        self.version = version
        self.digest = digest
        self.bucket = bucket
        self.write_id = write_id
        self.created_at = created_at
        self.updated_at = updated_at
        self.embedding = embedding
        self.parsed: dict[str, Any] | None = None

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)

    @property
    def columns(self) -> list[Any]:
        """All but the embedding, in the order of ``__init__``."""
        return [getattr(self, name) for name in COLUMNS]

    @property
    def filterable(self) -> dict[str, Any]:
        """The metadata, for reading only."""
        if self.parsed is None:
            self.parsed = to_metadata(self.metadata)
        return self.parsed


COLUMNS = tuple(name for name in Row.__init__.__annotations__ if name not in {"embedding", "return"})


def row_of(write: MemoryWrite, version: int, created_at: int, updated_at: int) -> Row:
    """Return the row that a write makes."""
    return Row(
        write.user_id,
        write.id,
        write.agent_id,
        write.run_id,
        write.content,
        object_text(write.metadata),
        entities_text(write.entities),
        relationships_text(write.relationships),
        write.extracted,
        version,
        write.digest,
        write.bucket,
        str(write.write_id),
        micros(write.created_at) if write.created_at else created_at,
        updated_at,
        write.embedding,
    )


def to_memory(row: Row, *, embeddings: bool = False) -> Memory:
    """Return a row as a memory; what is ours is not validated again."""
    fields = {
        "id": row.id,
        "user_id": row.user_id,
        "agent_id": row.agent_id,
        "run_id": row.run_id,
        "content": row.content,
        "metadata": to_metadata(row.metadata),
        "entities": to_entities(row.entities),
        "relationships": to_relationships(row.relationships),
        "extracted": row.extracted,
        "embedding": _copied(row.embedding) if embeddings else None,
        "version": row.version,
        "digest": row.digest,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }
    return trusted(Memory, fields)


def _copied(embedding: Vector) -> Vector:
    vector = embedding.copy()
    vector.flags.writeable = False
    return vector


@dataclass(frozen=True, slots=True)
class Grave:
    """A tombstone."""

    user_id: str
    id: str
    version: int
    bucket: int
    write_id: str
    deleted_at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An outbox entry; ``dead_at`` None: it is alive."""

    user_id: str
    id: str
    entry_id: str
    version: int
    attempts: int
    created_at: int
    due_at: int
    claim: int = 0
    disabled: bool = False
    dead_at: int | None = None
    reason: str | None = None
    forced: bool = False

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)


def to_entry(entry: Entry) -> OutboxEntry:
    """Return an entry as the port has it."""
    return OutboxEntry(
        user_id=entry.user_id,
        id=entry.id,
        entry_id=UUID(entry.entry_id),
        version=entry.version,
        attempts=entry.attempts,
        created_at=moment(entry.created_at),
        due_at=moment(entry.due_at),
        claim=entry.claim,
        dead=entry.dead_at is not None,
        disabled=entry.disabled,
        reason=entry.reason,
        forced=entry.forced,
    )
