"""Copies from another store: many memories and tombstones at the versions that they come with, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryWrite, Tombstone, Tracking, Transferred
from persistence.projection import bucket
from persistence.records import Memory
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.guard import Found
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Session
from persistence.vector.sqlite.sessions import Part
from persistence.vector.sqlite.writes import STORE, drop, look_up, put_entries, put_rows, put_tombstones
from persistence.vector.transfers import as_write, check_transfer, keys_of
from persistence.vector.work import in_thread

_SQL = Queries("transfer")
_TOMBSTONES = {False: _SQL.get("tombstones"), True: _SQL.get("tombstones_tenant")}
_RAISE_FLOOR = _SQL.get("raise_floor")
_FIRST = Key("", "")


class _Item(NamedTuple):
    """A memory or a tombstone as it is to be. ``packed`` None: a tombstone."""

    key: Key
    version: int
    write_id: str
    packed: r.Packed | None = None
    updated_at: int = 0


class _Newer(NamedTuple):
    """An item that is newer than what was found of its key. ``number``: of the change."""

    item: _Item
    found: Found
    number: int


class Transfers(Part):
    """What the port says of copies from another store."""

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        start, query = after or _FIRST, _TOMBSTONES[user_id is not None]
        place = {"user_id": user_id, "after_user": start.user_id, "after_id": start.id, "limit": limit}
        return await self._sessions.read(lambda session: [Tombstone(*row) for row in session.rows(query, place)])

    async def transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
    ) -> Transferred:
        if not memories and not tombstones:
            return Transferred((), ())
        check_transfer(memories, tombstones)
        writes = [as_write(memory) for memory in memories]
        live = await in_thread(partial(_packed, writes, memories, self._bound()), len(writes))
        items = [*live, *(_Item(Key(t.user_id, t.id), t.version, str(uuid.uuid4())) for t in tombstones)]
        return await self._sessions.write(partial(self._transfer, items=items, tracking=tracking))

    def _transfer(self, session: Session, *, items: Sequence[_Item], tracking: Tracking) -> Transferred:
        _, has_graph, number = session.one(STORE)
        newer: list[_Newer] = []
        for item, found in zip(items, look_up(session, [item.key for item in items]), strict=True):
            if item.version > (found.version or 0):
                newer.append(_Newer(item, found, number + len(newer) + 1))
        self._put(session, newer)
        listed = [n for n in newer if tracking.graph or has_graph or n.found.entry_id is not None]
        put_entries(session, [self._entry(n.item, tracking) for n in listed])
        written = {n.item.key for n in newer}
        left = tuple(item.key for item in items if item.key not in written)
        return Transferred(tuple(n.item.key for n in newer), left)

    def _put(self, session: Session, newer: Sequence[_Newer]) -> None:
        drop(session, [n.found for n in newer])
        live = [(n, n.item.packed) for n in newer if n.item.packed is not None]
        put_rows(session, [(_memory_row(n, packed), packed.embedding) for n, packed in live])
        now = self._sessions.now()
        graves = [n for n in newer if n.item.packed is None]
        put_tombstones(
            session,
            [(n.number, *n.item.key, n.item.version, bucket(*n.item.key), n.item.write_id, now) for n in graves],
        )

    def _entry(self, item: _Item, tracking: Tracking) -> tuple[Any, ...]:
        now = self._sessions.now()
        return (*item.key, item.write_id, item.version, now, r.after(now, tracking.lease), not tracking.graph)

    async def raise_floor(self, floor: int) -> None:
        await self._sessions.write(lambda session: session.execute(_RAISE_FLOOR, {"floor": floor}))


def _packed(writes: Sequence[MemoryWrite], memories: Sequence[Memory], dimension: int) -> list[_Item]:
    packed = r.pack_all(writes, dimension) if writes else []
    return [
        _Item(key, memory.version, str(write.write_id), one, r.micros(memory.updated_at))
        for key, memory, write, one in zip(keys_of(writes), memories, writes, packed, strict=True)
    ]


def _memory_row(newer: _Newer, packed: r.Packed) -> tuple[Any, ...]:
    item = newer.item
    return (*packed.fields, newer.number, item.version, packed.created_at, item.updated_at)
