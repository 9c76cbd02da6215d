"""Copies from another store: many memories and tombstones at the versions that they come with, as one change."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone, Tracking, Transferred
from persistence.projection import bucket
from persistence.records import Memory
from persistence.vector.memory.guard import entry_of
from persistence.vector.memory.rows import Grave, Row, row_of
from persistence.vector.memory.state import State, Table, Transaction
from persistence.vector.memory.storage import Part
from persistence.vector.memory.times import micros
from persistence.vector.memory.writes import check
from persistence.vector.transfers import as_write, check_transfer


class Transfers(Part):
    """What the port says of copies from another store."""

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        return await self._open().view(lambda state: _tombstones(state, user_id, after, limit))

    async def transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
    ) -> Transferred:
        if not memories and not tombstones:
            return Transferred((), ())
        check_transfer(memories, tombstones)
        rows = [_row(memory, self._open().state.about.dimension or 0) for memory in memories]
        return await self._open().commit(
            lambda tx: _transfer(tx, rows, tombstones, tracking), len(rows) + len(tombstones)
        )

    async def raise_floor(self, floor: int) -> None:
        def work(tx: Transaction) -> None:
            if tx.about.floor < floor:
                tx.say(replace(tx.about, floor=floor))

        await self._open().commit(work, 1)


def _row(memory: Memory, dimension: int) -> Row:
    write = as_write(memory)
    check(write.embedding, dimension)
    return row_of(write, memory.version, micros(memory.created_at), micros(memory.updated_at))


def _tombstones(state: State, user_id: str | None, after: Key | None, limit: int) -> list[Tombstone]:
    """Sort what is left each time: tombstones are few, and gone after a day."""
    start = after or Key("", "")
    users = sorted(user for user in state.tenants if user >= start.user_id) if user_id is None else [user_id]
    found: list[Tombstone] = []
    for user in users:
        first = start.id if user == start.user_id else ""
        graves = sorted((g for g in state.tenant(user).tombstones.values() if g.id > first), key=attrgetter("id"))
        found += [Tombstone(g.user_id, g.id, g.version) for g in graves[: limit - len(found)]]
        if len(found) >= limit:
            break
    return found


def _transfer(tx: Transaction, rows: Sequence[Row], tombstones: Sequence[Tombstone], tracking: Tracking) -> Transferred:
    done = {row.key: _put(tx, row, tracking) for row in rows}
    done |= {Key(stone.user_id, stone.id): _bury(tx, stone, tracking) for stone in tombstones}
    return Transferred(tuple(key for key in done if done[key]), tuple(key for key in done if not done[key]))


def _put(tx: Transaction, row: Row, tracking: Tracking) -> bool:
    if row.version <= _version(tx, row.key):
        return False
    tx.put(Table.MEMORIES, row.key, row)
    if tx.get(Table.TOMBSTONES, row.key) is not None:
        tx.remove(Table.TOMBSTONES, row.key)
    _list(tx, row.key, row.write_id, row.version, tracking)
    return True


def _bury(tx: Transaction, stone: Tombstone, tracking: Tracking) -> bool:
    key = Key(stone.user_id, stone.id)
    if stone.version <= _version(tx, key):
        return False
    grave = Grave(*key, stone.version, bucket(*key), str(uuid.uuid4()), tx.moment)
    tx.put(Table.TOMBSTONES, key, grave)
    if tx.get(Table.MEMORIES, key) is not None:
        tx.remove(Table.MEMORIES, key)
    _list(tx, key, grave.write_id, grave.version, tracking)
    return True


def _version(tx: Transaction, key: Key) -> int:
    here: Row | Grave | None = tx.get(Table.MEMORIES, key) or tx.get(Table.TOMBSTONES, key)
    return 0 if here is None else here.version


def _list(tx: Transaction, key: Key, write_id: str, version: int, tracking: Tracking) -> None:
    former = tx.get(Table.OUTBOX, key)
    if tracking.graph or tx.about.graph is not None or former is not None:
        tx.put(Table.OUTBOX, key, entry_of(tx, key, write_id, former, version, tracking))
