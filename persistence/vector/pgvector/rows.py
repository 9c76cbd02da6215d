"""Between records and rows: memories out of result rows, and writes into what COPY and the write functions take.

Result columns come in binary: jsonb and vector as raw bytes (session.py sees to that), so that all parsing is here,
where a large page can be parsed in a thread.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.ports.outbox import OutboxEntry
from persistence.ports.vector import MemoryWrite
from persistence.records import Memory, Vector, trusted
from persistence.text import INT64
from persistence.vector.payloads import as_entities, as_relationships, entities_text, object_text, relationships_text

Row = tuple[Any, ...]


def _integer(digits: str) -> int | float:
    """Integers outside 64 bit were floats: jsonb writes 1e20 as its digits."""
    value = int(digits)
    return value if len(digits) < 19 or value in INT64 else float(value)  # noqa: PLR2004  # 18 digits fit always


_decode = json.JSONDecoder(parse_int=_integer).decode


#: The fields of a memory in the order of queries.MEMORY.
_MEMORY_FIELDS = (
    "id",
    "user_id",
    "agent_id",
    "run_id",
    "content",
    "metadata",
    "entities",
    "relationships",
    "extracted",
    "embedding",
    "version",
    "digest",
    "created_at",
    "updated_at",
)

# --- out of rows ------------------------------------------------------------------------------------------------------


def to_memory(row: Row) -> Memory:
    """Make a memory of the columns of queries.MEMORY; what is ours is not validated again."""
    fields = dict(zip(_MEMORY_FIELDS, row, strict=False))  # a query may have columns of its own behind these
    fields["metadata"] = _json(row[5])
    fields["entities"] = as_entities(_json(row[6]))
    fields["relationships"] = as_relationships(_json(row[7]))
    fields["embedding"] = None if row[9] is None else _vector(row[9])
    return trusted(Memory, fields)


def _json(value: bytes) -> Any:
    """Binary jsonb is a version byte and the text; most columns are empty."""
    text = value[1:]
    return _EMPTY[text]() if text in _EMPTY else _decode(text.decode())


_EMPTY: dict[bytes, Callable[[], Any]] = {b"[]": list, b"{}": dict}


def _vector(value: bytes) -> Vector:
    """Binary vectors are two int16 (dimension, unused) and big-endian floats; shape ``(d,)``, read-only."""
    vector = np.frombuffer(value, dtype=">f4", offset=4).astype(np.float32)
    vector.flags.writeable = False
    return vector


def to_entry(row: Row) -> OutboxEntry:
    """Make an outbox entry of the columns of queries.ENTRY."""
    return OutboxEntry(*row)


# --- into rows --------------------------------------------------------------------------------------------------------


class RawVector:
    """A vector in pgvector's binary form."""

    __slots__ = ("data",)

    def __init__(self, vector: Vector) -> None:
        self.data = vector_head(vector.size) + vector.astype(">f4").tobytes()


def vector_head(dimension: int) -> bytes:
    """Return the four bytes that stand before a binary vector's floats."""
    return struct.pack(">HH", dimension, 0)


def check_dimension(embedding: Vector, dimension: int) -> None:
    """Refuse an embedding that the store cannot hold."""
    if embedding.shape != (dimension,):
        raise EmbeddingMismatchError(
            f"An embedding has the shape {embedding.shape}, but this vector store holds {dimension} dimensions."
        )
    if not np.isfinite(embedding).all() or not embedding.any():
        raise InvalidInputError("embedding", embedding.tolist(), "its numbers must be finite and not all zero")


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: What Python's datetime can hold in UTC, in microseconds since 2000.
_MOMENTS = range(
    (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND,
    (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND + 1,
)


def micros(moment: datetime) -> int:
    """Return microseconds since 2000, as Postgres counts. Refuses what is out of the calendar in UTC."""
    since = (moment - _EPOCH) // _MICROSECOND
    if since not in _MOMENTS:
        raise InvalidInputError("created_at", moment, "it must lie between the years 1 and 9999 in UTC")
    return since


_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_FIELDS = struct.pack(">h", 16)
_length = struct.Struct(">i").pack
_middle = struct.Struct(">iqiii").pack
_tail = struct.Struct(">iqiqiq").pack


def pack_write(write: MemoryWrite, embedding: bytes) -> bytes:
    """Return a COPY row up to the fields that only the database knows; ``embedding`` is its field, length included.

    psycopg's own packing is as fast, but belongs to a copy that has begun; this is done in a thread, before any lock is
    taken.
    """
    return b"".join(
        (
            _FIELDS,
            _text(write.user_id),
            _text(write.id),
            _text(write.agent_id),
            _text(write.run_id),
            _text(write.content),
            _jsonb(object_text(write.metadata)),
            _jsonb(entities_text(write.entities)),
            _jsonb(relationships_text(write.relationships)),
            b"\0\0\0\1\1" if write.extracted else b"\0\0\0\1\0",
            embedding,
            _middle(8, write.digest, 4, write.bucket, 16),
            write.write_id.bytes,
        )
    )


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    data = value.encode()
    return _length(len(data)) + data


def _jsonb(text: str) -> bytes:
    data = text.encode()
    return _length(len(data) + 1) + b"\1" + data


def pack_writes(writes: Sequence[MemoryWrite], dimension: int) -> list[bytes]:
    """Return the rows of ``pack_write``. Raises as ``check_dimension`` does, and on text that is no UTF-8."""
    for write in writes:
        if write.embedding.shape != (dimension,):
            check_dimension(write.embedding, dimension)
    matrix = np.stack([write.embedding for write in writes])
    if not np.isfinite(matrix).all() or not matrix.any(axis=1).all():
        for write in writes:
            check_dimension(write.embedding, dimension)
    size = 4 * dimension
    head = _length(size + 4) + vector_head(dimension)
    floats = matrix.astype(">f4").tobytes()
    return [pack_write(write, head + floats[i * size : (i + 1) * size]) for i, write in enumerate(writes)]


def pack_times(version: int, created_at: datetime, updated_at: datetime) -> bytes:
    """Return the last fields of a COPY row."""
    return _tail(8, version, 8, micros(created_at), 8, micros(updated_at))


def pack_file(rows: Sequence[bytes]) -> bytes:
    """Return a whole COPY file in Postgres's binary format."""
    return b"".join((_HEADER, *rows, _TRAILER))
