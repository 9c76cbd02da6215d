"""What a vector store can be asked for, through its adapter or by its client alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.sides.raw import memory_write
from benchmarks.workload import DIMENSION, Item
from persistence.drafting import projected
from persistence.filters import Filter
from persistence.ports.vector import MemoryWrite, Tracking, VectorStore
from persistence.records import Vector

TRACKING = Tracking(graph=True, lease=60.0)
MODEL = "none"
ANYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Record:
    """A memory before the clock starts: as plain values, and as the adapter takes it."""

    item: Item
    write: MemoryWrite

    @classmethod
    def of(cls, item: Item) -> Record:
        """Make it of a memory of the workload."""
        return cls(item, projected(memory_write(item)).write)

    def entities(self) -> list[dict[str, Any]]:
        """Return the entities as plain values."""
        return list(self.item.entities)

    def relationships(self) -> list[dict[str, Any]]:
        """Return the relationships as plain values."""
        return list(self.item.relationships)


class TruthSide(Protocol):
    """One way to a vector store. What the client takes is made of a record while the clock runs."""

    async def open(self) -> None:
        """Connect to an empty store."""
        ...

    async def close(self) -> None:
        """Disconnect; what is in a schema or a server is removed."""
        ...

    async def write(self, record: Record) -> None:
        """Write one memory and its outbox entry, after a look at what is there."""
        ...

    async def write_many(self, records: Sequence[Record]) -> None:
        """Write many memories and their outbox entries."""
        ...

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        """Return the ids of the nearest memories, having read what they hold but their embeddings."""
        ...


class Adapter:
    """The adapter, called as the service calls it."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def open(self) -> None:
        await self._store.open(model=MODEL, dimension=DIMENSION)

    async def close(self) -> None:
        await self._store.close()

    async def write(self, record: Record) -> None:
        await self._store.write(record.write, TRACKING)

    async def write_many(self, records: Sequence[Record]) -> None:
        await self._store.write_many([record.write for record in records], TRACKING)

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        found = await self._store.search(user_id, vector, limit=limit, where=ANYTHING)
        return [memory.id for memory, _ in found]


async def prepare(store: VectorStore) -> None:
    """Make the tables and indexes of a store, for a client that has none of its own."""
    await store.open(model=MODEL, dimension=DIMENSION)
    await store.close()
