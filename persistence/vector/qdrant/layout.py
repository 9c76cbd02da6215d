"""How memories, tombstones and outbox entries lie in points.

A memory or a tombstone is one point, whose id is a hash of its identity. Its outbox entry is fields of the same point,
so that both are written by one operation; ``entry`` names the entry's id and version in one text, which makes it
possible to find many entries by one condition. Times are microseconds since 1970.

``arrived`` is when a point was written here, a microsecond of its own in its batch. The feed of changes follows it, and
not the version: what is brought from another store keeps its version, which may be old.

``*_rank_*`` are bytes of the ids as numbers, six each: Qdrant sorts by numbers only (see ordered.py).

Marks are 1 and 0, not true and false, which the embedded engine does not find.

The vectors are of length 1, because their product then is the cosine, and Qdrant gives back what it was given (under
its own cosine distance it gives back what it made of it). ``embedding`` holds the vector as it was where it had
another length.
"""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import numpy as np

from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.ports.checking import Head
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryWrite, Tombstone
from persistence.records import Entity, Memory, Relationship, Vector, trusted
from persistence.vector.payloads import as_entities, as_relationships
from persistence.vector.qdrant.engine import Found, Index, Payload

#: The point that says what the store is. It has no tenant, so no read meets it.
INFO = str(UUID(bytes=blake2b(b"diptych store", digest_size=16).digest()))
USER_RANKS = ("user_rank_0", "user_rank_1")
ID_RANKS = ("id_rank_0", "id_rank_1", "id_rank_2")
_RANK = 6
INDEXES = {
    "user_id": Index.TENANT,
    "live": Index.INTEGER,
    "bucket": Index.INTEGER,
    "version": Index.INTEGER,
    "arrived": Index.INTEGER,
    "due": Index.INTEGER,
    "dead": Index.INTEGER,
    "entry_at": Index.INTEGER,
    **dict.fromkeys((*USER_RANKS, *ID_RANKS), Index.INTEGER),
}
KEY = ("user_id", "id")
HEAD = ("user_id", "id", "digest", "version")
ENTRY = (
    *KEY,
    "entry",
    "entry_at",
    "attempts",
    "claim",
    "claimant",
    "due",
    "dead",
    "reason",
    "disabled",
    "forced",
)
#: What the guard looks at.
STATE = ("live", "version", "write_id", "before", "created_at", "updated_at", "entry", "entry_at", "forced")
#: What a memory is made of, without its vector.
MEMORY = (
    *KEY,
    "agent_id",
    "run_id",
    "content",
    "metadata",
    "entities",
    "relationships",
    "extracted",
    "version",
    "digest",
    "created_at",
    "updated_at",
    "live",
)
#: How far the square of a vector's length may be from 1 for the vector to be stored as it is.
_UNIT = 1e-6

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENTS = range(
    (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND,
    (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND + 1,
)


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1_000


def micros(moment: datetime) -> int:
    """Return a moment in microseconds since 1970. Refuses what is out of the calendar in UTC."""
    since = (moment - _EPOCH) // _MICROSECOND
    if since not in _MOMENTS:
        raise InvalidInputError("created_at", moment, "it must lie between the years 1 and 9999 in UTC")
    return since


def moment(since: int) -> datetime:
    """Return the moment so many microseconds after 1970."""
    return _EPOCH + since * _MICROSECOND


def point_id(*names: str) -> str:
    """Return the id of the point of these names, none of which holds a NUL."""
    digits = blake2b("\0".join(names).encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def memory_point(key: Key) -> str:
    """Return the id of a memory's point."""
    return point_id(key.user_id, key.id)


def rank(name: str, level: int) -> int:
    """Return six bytes of a name as a number: UTF-8 sorts as its code points do, and no name holds a NUL."""
    return _number(name.encode(), level)


def identity(key: Key) -> Payload:
    """Return the fields that say whose point it is, and where it stands among others."""
    user, own = key.user_id.encode(), key.id.encode()
    fields: Payload = {"user_id": key.user_id, "id": key.id}
    fields.update({name: _number(user, level) for level, name in enumerate(USER_RANKS)})
    fields.update({name: _number(own, level) for level, name in enumerate(ID_RANKS)})
    return fields


def _number(name: bytes, level: int) -> int:
    return int.from_bytes(name[_RANK * level : _RANK * (level + 1)].ljust(_RANK, b"\0"))


def content(write: MemoryWrite) -> Payload:
    """Return the fields of a memory that do not depend on what is there."""
    fields: Payload = {
        **identity(write.key),
        "live": 1,
        "content": write.content,
        "metadata": dict(write.metadata),
        "entities": [_entity(e) for e in write.entities],
        "relationships": [_relationship(r) for r in write.relationships],
        "extracted": write.extracted,
        "digest": write.digest,
        "bucket": write.bucket,
    }
    if write.agent_id is not None:
        fields["agent_id"] = write.agent_id
    if write.run_id is not None:
        fields["run_id"] = write.run_id
    return fields


def _entity(entity: Entity) -> Payload:
    return {"name": entity.name, "type": entity.type, "properties": dict(entity.properties)}


def _relationship(relation: Relationship) -> Payload:
    fields: Payload = {
        "source": relation.source,
        "type": relation.type,
        "target": relation.target,
        "properties": dict(relation.properties),
    }
    if relation.source_type is not None:
        fields["source_type"] = relation.source_type
    if relation.target_type is not None:
        fields["target_type"] = relation.target_type
    return fields


def check_embedding(embedding: Vector, dimension: int) -> None:
    """Refuse an embedding that the store cannot hold."""
    if embedding.shape != (dimension,):
        raise EmbeddingMismatchError(
            f"An embedding has the shape {embedding.shape}, but this vector store holds {dimension} dimensions."
        )
    if not np.isfinite(embedding).all() or not embedding.any():
        raise InvalidInputError("embedding", embedding.tolist(), "its numbers must be finite and not all zero")


def unit(embedding: Vector) -> Vector:
    """Return the vector with length 1; the same one where it has it already."""
    wide = embedding.astype(np.float64)
    square = float(wide @ wide)
    if abs(square - 1) <= _UNIT:
        return embedding
    scaled: Vector = (wide / np.sqrt(square)).astype(np.float32)
    return scaled


def original(embedding: Vector, stored: Vector) -> Payload:
    """Return the field that keeps an embedding which is not stored as it is."""
    if stored is embedding:
        return {}
    return {"embedding": base64.b64encode(embedding.astype("<f4").tobytes()).decode()}


def _embedding(found: Found) -> Vector | None:
    kept = found.payload.get("embedding")
    vector = found.vector if kept is None else np.frombuffer(base64.b64decode(kept), dtype="<f4").astype(np.float32)
    if vector is not None:
        vector.flags.writeable = False
    return vector


def to_memory(found: Found, *, embedding: bool = False) -> Memory:
    """Make a memory of a live point; what is ours is not validated again."""
    fields = found.payload
    said = {
        "id": fields["id"],
        "user_id": fields["user_id"],
        "agent_id": fields.get("agent_id"),
        "run_id": fields.get("run_id"),
        "content": fields["content"],
        "metadata": fields["metadata"],
        "entities": as_entities(fields["entities"]),
        "relationships": as_relationships(fields["relationships"]),
        "extracted": fields["extracted"],
        "embedding": _embedding(found) if embedding else None,
        "version": fields["version"],
        "digest": fields["digest"],
        "created_at": moment(fields["created_at"]),
        "updated_at": moment(fields["updated_at"]),
    }
    return trusted(Memory, said)


def to_key(found: Found) -> Key:
    """Return whose point it is."""
    return Key(found.payload["user_id"], found.payload["id"])


def to_head(found: Found) -> Head:
    """Return a live point without its content."""
    return Head(*(found.payload[name] for name in HEAD))


def to_tombstone(found: Found) -> Tombstone:
    """Return what remains of a deleted memory."""
    return Tombstone(*to_key(found), found.payload["version"])
