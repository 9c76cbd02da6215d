"""What the stores share of a copy from another store: memories as writes, checked before any lock is taken."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from persistence.errors import InvalidInputError
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryWrite, Tombstone
from persistence.projection import EXACT, bucket
from persistence.records import Memory


def check_transfer(memories: Sequence[Memory], tombstones: Sequence[Tombstone]) -> None:
    """Refuse what no store could hold, or what would have two outcomes. Raises InvalidInputError."""
    items: list[Memory | Tombstone] = [*memories, *tombstones]
    if len({(item.user_id, item.id) for item in items}) < len(items):
        raise InvalidInputError("memories", len(items), "the keys of a transfer must be distinct")
    for item in items:
        if not 0 < item.version < EXACT:
            raise InvalidInputError("version", item.version, "it must be more than 0 and less than 2^53")


def as_write(memory: Memory) -> MemoryWrite:
    """Return the write that makes this memory; its version and the time of its last change go beside it."""
    if memory.embedding is None:
        raise InvalidInputError("embedding", None, "a memory is transferred with its embedding")
    return MemoryWrite(
        user_id=memory.user_id,
        id=memory.id,
        agent_id=memory.agent_id,
        run_id=memory.run_id,
        content=memory.content,
        metadata=memory.metadata,
        entities=memory.entities,
        relationships=memory.relationships,
        extracted=memory.extracted,
        embedding=memory.embedding,
        digest=memory.digest,
        bucket=bucket(memory.user_id, memory.id),
        created_at=memory.created_at,
        write_id=uuid.uuid4(),
    )


def keys_of(items: Sequence[MemoryWrite | Tombstone]) -> list[Key]:
    """Return their identities."""
    return [Key(item.user_id, item.id) for item in items]
