"""The writes: what is there is looked up, judged and replaced in one transaction, together with the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from persistence.errors import InvalidInputError
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, MemoryWrite, Resolution, Tracking, WriteReceipt
from persistence.records import Memory
from persistence.vector.payloads import encode
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.guard import Found, Store, Verdict, Wish, found_of, judge
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Session
from persistence.vector.sqlite.sessions import Part
from persistence.vector.work import in_thread

_SQL = Queries("writes")
STORE = _SQL.get("store")
_FOUND = _SQL.get("found")
_FORMER = _SQL.get("former")
_DROP_MEMORY, _DROP_EMBEDDING = _SQL.get("drop_memory"), _SQL.get("drop_embedding")
_DROP_TOMBSTONE, _PUT_TOMBSTONE = _SQL.get("drop_tombstone"), _SQL.get("put_tombstone")
_PUT_MEMORY, _PUT_EMBEDDING = _SQL.get("put_memory"), _SQL.get("put_embedding")
_PUT_ENTRY = _SQL.get("put_entry")
_LAST_WRITE = _SQL.get("last_write")
#: Where a row of ``put_memory`` has its number: before version and times, which end it.
_NUMBER = -4


class _Judged(NamedTuple):
    """A write with what was found and decided. ``number``: of the change, where something is written."""

    item: MemoryWrite | MemoryDelete
    write_id: str
    found: Found
    verdict: Verdict
    number: int


class Writes(Part):
    """What the port says of writes."""

    async def write(self, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
        (receipt,) = await self._write([write], tracking, want_former=want_former)
        return receipt

    async def write_many(self, writes: Sequence[MemoryWrite], tracking: Tracking) -> list[WriteReceipt]:
        if not writes:
            return []
        _check_batch(writes)
        return await self._write(writes, tracking)

    async def _write(
        self, writes: Sequence[MemoryWrite], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        packed = await in_thread(partial(r.pack_all, writes, self._bound()), len(writes))

        def work(session: Session) -> list[WriteReceipt]:
            judged = self._judge(session, writes, tracking)
            former = _formers(session, judged) if want_former else {}
            _put_memories(session, judged, packed)
            _put_rest(session, judged, tracking)
            return [_receipt(j, former, p.created_at) for j, p in zip(judged, packed, strict=True)]

        return await self._sessions.write(work)

    async def delete_many(
        self, deletes: Sequence[MemoryDelete], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        if not deletes:
            return []

        def work(session: Session) -> list[WriteReceipt]:
            judged = self._judge(session, deletes, tracking)
            former = _formers(session, judged) if want_former else {}
            _put_tombstones(session, judged)
            _put_rest(session, judged, tracking)
            return [_deleted(j, former) for j in judged]

        return await self._sessions.write(work)

    def _judge(
        self, session: Session, items: Sequence[MemoryWrite | MemoryDelete], tracking: Tracking
    ) -> list[_Judged]:
        """Look each key up and decide; numbers are drawn in the order given."""
        floor, has_graph, number = session.one(STORE)
        store = Store(floor, tracking.graph or bool(has_graph), number, self._sessions.now())
        judged = []
        for item, found in zip(items, look_up(session, [item.key for item in items]), strict=True):
            wish = _wish(item)
            verdict = judge(wish, found, store)
            number += verdict.todo
            judged.append(_Judged(item, wish.write_id, found, verdict, number))
        return judged

    async def resolve(self, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
        # With the write lock: whatever write was under way has ended then.
        row = await self._sessions.write(lambda session: session.row(_LAST_WRITE, key._asdict()), durable=False)
        there, version = row or (None, None)
        if there == str(write_id):
            return Resolution.WRITTEN
        return Resolution.NOT_WRITTEN if version == former_version or version is None else Resolution.UNKNOWN


def look_up(session: Session, keys: Sequence[Key]) -> list[Found]:
    """Return what there is of each key, by one statement for each tenant."""
    if len(keys) == 1:
        return _look_up(session, keys[0].user_id, [keys[0].id])
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key.user_id, []).append(place)
    found: dict[int, Found] = {}
    for user_id, own in places.items():
        found |= zip(own, _look_up(session, user_id, [keys[place].id for place in own]), strict=True)
    return [found[place] for place in range(len(keys))]


def _look_up(session: Session, user_id: str, ids: Sequence[str]) -> list[Found]:
    return [found_of(row) for row in session.rows(_FOUND, {"user_id": user_id, "ids": encode(ids)})]


def _check_batch(writes: Sequence[MemoryWrite]) -> None:
    """Refuse what a caller must not give: a wrong answer would be worse than an error."""
    if len({write.key for write in writes}) < len(writes):
        raise InvalidInputError("writes", len(writes), "the keys of a batch must be distinct")
    if len({write.mode for write in writes}) > 1 or any(write.expected_version is not None for write in writes):
        raise InvalidInputError("writes", len(writes), "a batch has one mode and no expected versions")


def _wish(item: MemoryWrite | MemoryDelete) -> Wish:
    mode = item.mode if isinstance(item, MemoryWrite) else None
    return Wish(str(item.write_id), mode, item.expected_version, item.above)


def _formers(session: Session, judged: Sequence[_Judged]) -> dict[int, Memory]:
    live = (j.found.memory_number for j in judged if j.verdict.todo)
    rows = ((number, session.row(_FORMER, (number,))) for number in live if number is not None)
    return {number: r.to_memory(row) for number, row in rows if row is not None}


def drop(session: Session, found: Sequence[Found]) -> None:
    """Make room: what was found goes, memories, embeddings and tombstones."""
    if live := [(f.memory_number,) for f in found if f.memory_number is not None]:
        session.many(_DROP_MEMORY, live)
        session.many(_DROP_EMBEDDING, live)
    if dead := [(f.tombstone_number,) for f in found if f.tombstone_number is not None]:
        session.many(_DROP_TOMBSTONE, dead)


def put_rows(session: Session, rows: Sequence[tuple[tuple[Any, ...], bytes]]) -> None:
    """Store memories, the fields in the order of ``put_memory``, and their embeddings."""
    session.many(_PUT_MEMORY, [fields for fields, _ in rows])
    session.many(_PUT_EMBEDDING, [(fields[_NUMBER], embedding) for fields, embedding in rows])


def put_tombstones(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    """Leave tombstones, the fields in the order of ``put_tombstone``."""
    session.many(_PUT_TOMBSTONE, rows)


def put_entries(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    """List in the outbox what was written, the fields in the order of ``put_entry``."""
    session.many(_PUT_ENTRY, rows)


def _put_memories(session: Session, judged: Sequence[_Judged], packed: Sequence[r.Packed]) -> None:
    drop(session, [j.found for j in judged if j.verdict.todo])
    todo = [(j, p) for j, p in zip(judged, packed, strict=True) if j.verdict.todo]
    put_rows(session, [(_memory_row(j, p), p.embedding) for j, p in todo])


def _memory_row(judged: _Judged, packed: r.Packed) -> tuple[Any, ...]:
    verdict = judged.verdict
    created_at = _created_at(judged, packed.created_at)
    return (*packed.fields, judged.number, verdict.version, created_at, verdict.at)


def _created_at(judged: _Judged, given: int | None) -> int | None:
    """Return when a memory was first stored: what is given, else what is there, else now."""
    former = judged.found.created_at
    if not judged.verdict.todo:
        return former
    if given is not None:
        return given
    return judged.verdict.at if former is None else former


def _put_tombstones(session: Session, judged: Sequence[_Judged]) -> None:
    todo = [j for j in judged if j.verdict.todo]
    drop(session, [j.found for j in todo])
    put_tombstones(
        session, [(j.number, *j.item.key, j.verdict.version, j.item.bucket, j.write_id, j.verdict.at) for j in todo]
    )


def _put_rest(session: Session, judged: Sequence[_Judged], tracking: Tracking) -> None:
    """List in the outbox what was written."""
    put_entries(session, [_entry_row(j, tracking) for j in judged if j.verdict.todo and j.verdict.tracked])


def _entry_row(judged: _Judged, tracking: Tracking) -> tuple[Any, ...]:
    verdict = judged.verdict
    due_at = r.after(verdict.at or 0, tracking.lease)
    return (*judged.item.key, judged.write_id, verdict.version, verdict.at, due_at, not tracking.graph)


def _receipt(judged: _Judged, former: dict[int, Memory], given: int | None) -> WriteReceipt:
    verdict = judged.verdict
    created_at = r.moment_or_none(_created_at(judged, given))
    replaced = former.get(judged.found.memory_number or 0)
    return WriteReceipt(
        verdict.status, verdict.version, created_at, r.moment_or_none(verdict.at), verdict.tracked, replaced
    )


def _deleted(judged: _Judged, former: dict[int, Memory]) -> WriteReceipt:
    verdict = judged.verdict
    removed = former.get(judged.found.memory_number or 0)
    return WriteReceipt(verdict.status, verdict.version, None, r.moment_or_none(verdict.at), verdict.tracked, removed)
