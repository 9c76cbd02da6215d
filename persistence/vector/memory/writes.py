"""The writes: each of them, and each batch, is one change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, MemoryWrite, Resolution, Tracking, WriteReceipt
from persistence.records import Memory, Vector
from persistence.vector.memory.guard import Judged, judge
from persistence.vector.memory.rows import Grave, Row, row_of, to_memory
from persistence.vector.memory.state import State, Table, Transaction
from persistence.vector.memory.storage import Part
from persistence.vector.memory.times import moment


class Writes(Part):
    """What the port says of writes."""

    async def write(self, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
        check(write.embedding, self._dimension())
        return await self._open().commit(lambda tx: _write(tx, write, tracking, want_former=want_former), 1)

    async def write_many(self, writes: Sequence[MemoryWrite], tracking: Tracking) -> list[WriteReceipt]:
        if not writes:
            return []
        _check_batch(writes)
        for write in writes:
            check(write.embedding, self._dimension())
        return await self._open().commit(lambda tx: [_write(tx, write, tracking) for write in writes], len(writes))

    async def delete_many(
        self, deletes: Sequence[MemoryDelete], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        if not deletes:
            return []
        return await self._open().commit(
            lambda tx: [_delete(tx, delete, tracking, want_former=want_former) for delete in deletes], len(deletes)
        )

    async def resolve(self, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
        """Ask as a change does, so that the answer comes after every write that is under way."""
        return await self._open().commit(lambda tx: _resolved(tx.state, key, write_id, former_version), 1)

    def _dimension(self) -> int:
        return self._open().state.about.dimension or 0


def check(embedding: Vector, dimension: int) -> None:
    """Refuse an embedding that the store cannot hold."""
    if embedding.shape != (dimension,):
        raise EmbeddingMismatchError(
            f"An embedding has the shape {embedding.shape}, but this vector store holds {dimension} dimensions."
        )
    if not np.isfinite(embedding).all() or not embedding.any():
        raise InvalidInputError("embedding", embedding.tolist(), "its numbers must be finite and not all zero")


def _check_batch(writes: Sequence[MemoryWrite]) -> None:
    """Refuse what a caller must not give: a wrong answer would be worse than an error."""
    if len({write.key for write in writes}) < len(writes):
        raise InvalidInputError("writes", len(writes), "the keys of a batch must be distinct")
    if len({write.mode for write in writes}) > 1 or any(write.expected_version is not None for write in writes):
        raise InvalidInputError("writes", len(writes), "a batch has one mode and no expected versions")


def _write(tx: Transaction, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
    judged = judge(tx, write, tracking)
    if not judged.todo or judged.version is None or judged.updated_at is None:
        return _receipt(judged, judged.created_at)
    row = row_of(write, judged.version, judged.created_at, judged.updated_at)
    tx.put(Table.MEMORIES, write.key, row)
    if tx.get(Table.TOMBSTONES, write.key) is not None:
        tx.remove(Table.TOMBSTONES, write.key)
    return _receipt(judged, row.created_at, _former(judged.row) if want_former else None)


def _delete(tx: Transaction, delete: MemoryDelete, tracking: Tracking, *, want_former: bool) -> WriteReceipt:
    judged = judge(tx, delete, tracking)
    if judged.todo and judged.version is not None and judged.updated_at is not None:
        grave = Grave(delete.user_id, delete.id, judged.version, delete.bucket, str(delete.write_id), judged.updated_at)
        tx.put(Table.TOMBSTONES, delete.key, grave)
        if judged.row is not None:
            tx.remove(Table.MEMORIES, delete.key)
    return _receipt(judged, None, _former(judged.row) if want_former and judged.todo else None)


def _former(row: Row | None) -> Memory | None:
    return None if row is None else to_memory(row, embeddings=True)


def _receipt(judged: Judged, created_at: int | None, former: Memory | None = None) -> WriteReceipt:
    return WriteReceipt(
        judged.status,
        judged.version,
        None if created_at is None else moment(created_at),
        None if judged.updated_at is None else moment(judged.updated_at),
        judged.tracked,
        former,
    )


def _resolved(state: State, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
    tenant = state.tenant(key.user_id)
    here = tenant.memories.get(key.id) or tenant.tombstones.get(key.id)
    if here is not None and here.write_id == str(write_id):
        return Resolution.WRITTEN
    return Resolution.NOT_WRITTEN if here is None or here.version == former_version else Resolution.UNKNOWN
