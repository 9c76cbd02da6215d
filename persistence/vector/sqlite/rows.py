"""Between records and rows: memories out of result rows, and writes into what the statements take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.ports.outbox import OutboxEntry
from persistence.ports.vector import MemoryWrite
from persistence.records import Memory, Vector, trusted
from persistence.vector.payloads import (
    entities_text,
    object_text,
    relationships_text,
    to_entities,
    to_metadata,
    to_relationships,
)
from persistence.vector.sqlite.session import Row

#: How embeddings are stored.
FLOATS = np.dtype("<f4")


# --- times ------------------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: What Python's datetime can hold in UTC.
_MOMENTS = range(
    (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND,
    (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND + 1,
)


def micros(moment: datetime) -> int:
    """Return microseconds since 1970. Refuses what is out of the calendar in UTC."""
    since = (moment - _EPOCH) // _MICROSECOND
    if since not in _MOMENTS:
        raise InvalidInputError("created_at", moment, "it must lie between the years 1 and 9999 in UTC")
    return since


@lru_cache(maxsize=16)
def moment(since: int) -> datetime:
    """Return the time that is so many microseconds after the beginning of 1970; memories of a batch have one time."""
    return _EPOCH + timedelta(microseconds=since)


def moment_or_none(since: int | None) -> datetime | None:
    """Return the same, None for none."""
    return None if since is None else moment(since)


def after(now: int, seconds: float) -> int:
    """Return the time so many seconds after ``now``."""
    return now + round(seconds * 1_000_000)


# --- out of rows ------------------------------------------------------------------------------------------------------


def to_memory(row: Row) -> Memory:
    """Make a memory of the columns of queries.MEMORY; what is ours is not validated again."""
    fields = {
        "id": row[0],
        "user_id": row[1],
        "agent_id": row[2],
        "run_id": row[3],
        "content": row[4],
        "metadata": to_metadata(row[5]),
        "entities": to_entities(row[6]),
        "relationships": to_relationships(row[7]),
        "extracted": bool(row[8]),
        "embedding": None if row[9] is None else to_vector(row[9]),
        "version": row[10],
        "digest": row[11],
        "created_at": moment(row[12]),
        "updated_at": moment(row[13]),
    }
    return trusted(Memory, fields)


def to_vector(value: bytes) -> Vector:
    """Return an embedding, shape ``(d,)``, read-only."""
    vector = np.frombuffer(value, dtype=FLOATS).astype(np.float32)
    vector.flags.writeable = False
    return vector


def to_entry(row: Row) -> OutboxEntry:
    """Make an outbox entry of the columns of queries.ENTRY."""
    user_id, memory_id, entry_id, version, attempts, created_at, due_at, claim, dead, disabled, reason, forced = row
    return OutboxEntry(
        user_id,
        memory_id,
        UUID(entry_id),
        version,
        attempts,
        moment(created_at),
        moment(due_at),
        claim,
        bool(dead),
        bool(disabled),
        reason,
        bool(forced),
    )


# --- into rows --------------------------------------------------------------------------------------------------------


class Packed(NamedTuple):
    """What of a write is known before the lock is taken: a memory's fields in the order of ``put_memory``."""

    fields: tuple[Any, ...]
    embedding: bytes
    created_at: int | None


def pack_all(writes: Sequence[MemoryWrite], dimension: int) -> list[Packed]:
    """Return writes as the statements take them. Raises as ``check_dimension`` does."""
    if len(writes) == 1:
        return [_pack_one(writes[0], dimension)]
    for write in writes:
        if write.embedding.shape != (dimension,):
            check_dimension(write.embedding, dimension)
    matrix = np.stack([write.embedding for write in writes])
    if not np.isfinite(matrix).all() or not matrix.any(axis=1).all():
        for write in writes:
            check_dimension(write.embedding, dimension)
    floats, size = matrix.astype(FLOATS).tobytes(), FLOATS.itemsize * dimension
    return [_pack(write, floats[i * size : (i + 1) * size]) for i, write in enumerate(writes)]


def _pack_one(write: MemoryWrite, dimension: int) -> Packed:
    check_dimension(write.embedding, dimension)
    return _pack(write, write.embedding.astype(FLOATS).tobytes())


def _pack(write: MemoryWrite, embedding: bytes) -> Packed:
    fields = (
        write.user_id,
        write.id,
        write.agent_id,
        write.run_id,
        write.content,
        object_text(write.metadata),
        entities_text(write.entities),
        relationships_text(write.relationships),
        write.extracted,
        write.digest,
        write.bucket,
        str(write.write_id),
    )
    return Packed(fields, embedding, None if write.created_at is None else micros(write.created_at))


def check_dimension(embedding: Vector, dimension: int) -> None:
    """Refuse an embedding that the store cannot hold."""
    if embedding.shape != (dimension,):
        raise EmbeddingMismatchError(
            f"An embedding has the shape {embedding.shape}, but this vector store holds {dimension} dimensions."
        )
    if not np.isfinite(embedding).all() or not embedding.any():
        raise InvalidInputError("embedding", embedding.tolist(), "its numbers must be finite and not all zero")
