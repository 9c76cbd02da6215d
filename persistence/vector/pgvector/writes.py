"""The writes: one memory by one function call, many by COPY behind the same guard, deletes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.numeric import Int8

from persistence.errors import InvalidInputError, VectorStoreUnavailableError
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, MemoryWrite, Resolution, Tracking, WriteReceipt, Written
from persistence.records import Memory
from persistence.vector.payloads import entities_text, object_text, relationships_text
from persistence.vector.pgvector import rows as r
from persistence.vector.pgvector.queries import FORMER, MEMORY_WIDTH, Queries
from persistence.vector.pgvector.session import Part
from persistence.vector.work import in_thread

_SQL = Queries("writes")
_WRITE = _SQL.get("write", former=FORMER)
_PREPARE = _SQL.get("prepare")
COPY = _SQL.get("copy")
_DELETE = _SQL.get("delete", former=FORMER)
_LAST_WRITE = _SQL.get("last_write")


class _Judged(NamedTuple):
    """What the guard says of one of many writes."""

    place: int
    status: str
    todo: bool
    version: int
    created_at: Any
    updated_at: Any
    tracked: bool


class Writes(Part):
    """What the port says of writes."""

    async def write(self, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
        r.check_dimension(write.embedding, self._bound())
        parameters = _parameters(write, tracking, want_former=want_former)
        async with self._sessions.use(write=True) as connection:
            row = await (await connection.execute(_WRITE, parameters, binary=True)).fetchone()
        if row is None:
            raise VectorStoreUnavailableError("PostgreSQL gave no answer to a write.")
        status, version, created_at, updated_at, tracked, *former = row
        return WriteReceipt(Written(status), version, created_at, updated_at, tracked, _former(former))

    async def write_many(self, writes: Sequence[MemoryWrite], tracking: Tracking) -> list[WriteReceipt]:
        if not writes:
            return []
        _check_batch(writes)
        packed = await in_thread(partial(pack, writes, self._bound()), len(writes))
        async with self._sessions.transaction() as connection:
            cursor = await connection.execute(_PREPARE, _batch(writes, tracking), binary=True)
            judged = [_Judged(*row) for row in await cursor.fetchall()]
            if any(j.todo for j in judged):
                file = await in_thread(partial(_file, writes, packed, judged), len(writes))
                async with connection.cursor().copy(COPY) as copy:
                    await copy.write(file)
        return _receipts(writes, judged)

    async def delete_many(
        self, deletes: Sequence[MemoryDelete], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        if not deletes:
            return []
        parameters = {
            **_arrays(deletes),
            "buckets": [delete.bucket for delete in deletes],
            "expected": [delete.expected_version for delete in deletes],
            "graph": tracking.graph,
            "lease": float(tracking.lease),
            "want_former": want_former,
            "above": [delete.above for delete in deletes],
        }
        async with self._sessions.use(write=True) as connection:
            found = await (await connection.execute(_DELETE, parameters, binary=True)).fetchall()
        return [_deleted(row) for row in sorted(found, key=lambda row: int(row[0]))]

    async def resolve(self, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
        async with self._sessions.use(write=True) as connection:
            cursor = await connection.execute(_LAST_WRITE, {"user_id": key.user_id, "id": key.id}, binary=True)
            row = await cursor.fetchone()
        there, version = row or (None, None)
        if there == write_id:
            return Resolution.WRITTEN
        return Resolution.NOT_WRITTEN if version == former_version or version is None else Resolution.UNKNOWN


def _parameters(write: MemoryWrite, tracking: Tracking, *, want_former: bool) -> dict[str, Any]:
    if write.created_at is not None:
        r.micros(write.created_at)
    return {
        "user_id": write.user_id,
        "id": write.id,
        "agent_id": write.agent_id,
        "run_id": write.run_id,
        "content": write.content,
        "metadata": object_text(write.metadata),
        "entities": entities_text(write.entities),
        "relationships": relationships_text(write.relationships),
        "extracted": write.extracted,
        "embedding": r.RawVector(write.embedding),
        "digest": Int8(write.digest),
        "bucket": Int8(write.bucket),
        "created_at": write.created_at,
        "write_id": write.write_id,
        "mode": write.mode.value,
        "expected": write.expected_version,
        "graph": tracking.graph,
        "lease": float(tracking.lease),
        "want_former": want_former,
        "above": write.above,
    }


def _check_batch(writes: Sequence[MemoryWrite]) -> None:
    """Refuse what a caller must not give: a wrong answer would be worse than an error."""
    if len({(write.user_id, write.id) for write in writes}) < len(writes):
        raise InvalidInputError("writes", len(writes), "the keys of a batch must be distinct")
    if len({write.mode for write in writes}) > 1 or any(write.expected_version is not None for write in writes):
        raise InvalidInputError("writes", len(writes), "a batch has one mode and no expected versions")


def pack(writes: Sequence[MemoryWrite], dimension: int) -> list[bytes]:
    """Return COPY rows up to version and times. Raises InvalidInputError, EmbeddingMismatchError."""
    try:
        return r.pack_writes(writes, dimension)
    except UnicodeEncodeError as error:
        raise InvalidInputError("writes", error.object, "texts must not contain lone surrogates") from error


def _batch(writes: Sequence[MemoryWrite], tracking: Tracking) -> dict[str, Any]:
    return {
        **_arrays(writes),
        "mode": writes[0].mode.value,
        "graph": tracking.graph,
        "lease": float(tracking.lease),
    }


def _arrays(items: Sequence[MemoryWrite | MemoryDelete]) -> dict[str, list[Any]]:
    return {
        "user_ids": [item.user_id for item in items],
        "ids": [item.id for item in items],
        "write_ids": [item.write_id for item in items],
    }


def _file(writes: Sequence[MemoryWrite], packed: Sequence[bytes], judged: Sequence[_Judged]) -> bytes:
    """Return the COPY file of what is to be written."""
    todo = [(writes[j.place - 1].created_at or j.created_at, packed[j.place - 1], j) for j in judged if j.todo]
    return r.pack_file([row + r.pack_times(j.version, created, j.updated_at) for created, row, j in todo])


def _receipts(writes: Sequence[MemoryWrite], judged: Sequence[_Judged]) -> list[WriteReceipt]:
    by_place = sorted(judged)
    return [_receipt(write, j) for write, j in zip(writes, by_place, strict=True)]


def _receipt(write: MemoryWrite, judged: _Judged) -> WriteReceipt:
    created = (write.created_at or judged.created_at) if judged.todo else judged.created_at
    return WriteReceipt(Written(judged.status), judged.version, created, judged.updated_at, judged.tracked)


def _deleted(row: r.Row) -> WriteReceipt:
    _, status, version, deleted_at, tracked, *former = row
    return WriteReceipt(Written(status), version, None, deleted_at, tracked, _former(former))


def _former(columns: Sequence[Any]) -> Memory | None:
    return r.to_memory(tuple(columns)) if len(columns) == MEMORY_WIDTH and columns[0] is not None else None
