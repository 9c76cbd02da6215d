"""Writes and deletes with sensible defaults, for every backend's tests."""

from __future__ import annotations

import uuid
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from persistence.ports.outbox import OutboxEntry, Settlement
from persistence.ports.vector import MemoryDelete, MemoryWrite, Tracking
from persistence.projection import bucket
from persistence.records import Vector

DIMENSION = 8
#: A write of a process with a graph; the lease is over at once, so that entries can be claimed.
AT_ONCE = Tracking(graph=True, lease=0.0)
#: The same with its lease still running.
LEASED = Tracking(graph=True, lease=60.0)
#: A write of a process without a graph.
NO_GRAPH = Tracking(graph=False, lease=0.0)
#: A folder that lies in memory, where the system has one: the engine's files are 370 MB of holes, slow to make on disk.
IN_MEMORY = next((place for place in ("/dev/shm",) if Path(place).is_dir()), None)  # noqa: S108  # the name is random


def vector_of(text: str, dimension: int = DIMENSION) -> Vector:
    """Return a vector that depends on the text alone."""
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=dimension).astype(np.float32)


def a_write(memory_id: str, user_id: str = "ada", **given: Any) -> MemoryWrite:
    """Return a write; what is not given follows from the id."""
    fields: dict[str, Any] = {
        "agent_id": None,
        "run_id": None,
        "content": f"content of {memory_id}",
        "metadata": {},
        "entities": (),
        "relationships": (),
        "extracted": False,
        "embedding": vector_of(memory_id),
        "digest": zlib.crc32(memory_id.encode()),
        "bucket": bucket(user_id, memory_id),
        "created_at": None,
        "write_id": uuid.uuid4(),
    }
    return MemoryWrite(user_id=user_id, id=memory_id, **{**fields, **given})


def a_delete(memory_id: str, user_id: str = "ada", expected_version: int | None = None) -> MemoryDelete:
    """Return a delete."""
    return MemoryDelete(user_id, memory_id, uuid.uuid4(), bucket(user_id, memory_id), expected_version)


def settlement(entry: OutboxEntry) -> Settlement:
    """Return what settles an entry."""
    return Settlement(entry.user_id, entry.id, entry.entry_id, entry.version)
