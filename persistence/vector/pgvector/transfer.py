"""Copies from another store: many memories and tombstones at the versions that they come with, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryWrite, Tombstone, Tracking, Transferred
from persistence.projection import bucket
from persistence.records import Memory
from persistence.vector.pgvector import rows as r
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.session import Part
from persistence.vector.pgvector.writes import COPY, pack
from persistence.vector.transfers import as_write, check_transfer, keys_of
from persistence.vector.work import in_thread

_SQL = Queries("transfer")
_PREPARE = _SQL.get("prepare")
_TOMBSTONES = {False: _SQL.get("tombstones_all"), True: _SQL.get("tombstones")}
_RAISE_FLOOR = _SQL.get("raise_floor")
_FIRST = Key("", "")


class Transfers(Part):
    """What the port says of copies from another store."""

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        start = after or _FIRST
        parameters = {"user_id": user_id, "after_user": start.user_id, "after_id": start.id, "limit": limit}
        async with self._sessions.use() as connection:
            cursor = await connection.execute(_TOMBSTONES[user_id is not None], parameters, binary=True)
            return [Tombstone(*row) for row in await cursor.fetchall()]

    async def transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
    ) -> Transferred:
        if not memories and not tombstones:
            return Transferred((), ())
        check_transfer(memories, tombstones)
        writes = [as_write(memory) for memory in memories]
        rows = await in_thread(partial(_rows, writes, memories, self._bound()), len(writes))
        parameters = _parameters(writes, memories, tombstones, tracking)
        async with self._sessions.transaction() as connection:
            cursor = await connection.execute(_PREPARE, parameters, binary=True)
            places = {place - 1 for (place,) in await cursor.fetchall()}
            if newer := [row for place, row in enumerate(rows) if place in places]:
                async with connection.cursor().copy(COPY) as copy:
                    await copy.write(await in_thread(partial(r.pack_file, newer), len(newer)))
        return _outcome(keys_of([*writes, *tombstones]), places)

    async def raise_floor(self, floor: int) -> None:
        async with self._sessions.use(write=True) as connection:
            await connection.execute(_RAISE_FLOOR, {"floor": floor})


def _rows(writes: Sequence[MemoryWrite], memories: Sequence[Memory], dimension: int) -> list[bytes]:
    """Return the COPY rows of memories, complete: versions and times are those that they come with."""
    packed = pack(writes, dimension) if writes else []
    times = (r.pack_times(memory.version, memory.created_at, memory.updated_at) for memory in memories)
    return [row + end for row, end in zip(packed, times, strict=True)]


def _parameters(
    writes: Sequence[MemoryWrite], memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
) -> dict[str, Any]:
    keys = keys_of([*writes, *tombstones])
    items: list[Memory | Tombstone] = [*memories, *tombstones]
    return {
        "user_ids": [key.user_id for key in keys],
        "ids": [key.id for key in keys],
        "write_ids": [*(write.write_id for write in writes), *(uuid.uuid4() for _ in tombstones)],
        "versions": [item.version for item in items],
        "buckets": [bucket(*key) for key in keys],
        "live": [True] * len(writes) + [False] * len(tombstones),
        "graph": tracking.graph,
        "lease": float(tracking.lease),
    }


def _outcome(keys: Sequence[Key], places: set[int]) -> Transferred:
    return Transferred(
        tuple(key for place, key in enumerate(keys) if place in places),
        tuple(key for place, key in enumerate(keys) if place not in places),
    )
