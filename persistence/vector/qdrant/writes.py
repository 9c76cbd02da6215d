"""The writes. A write reads what is there, decides, replaces it where it still is that, and reads back who won.

Where nobody else can have written meanwhile (the engine in this process), nothing is read back.

Many memories go into one upsert: each that is there is replaced only where the write that made it is one of those that
were read, and no two memories are ever made by one write. Each memory is atomic with its own entry; a batch as a whole
is not (see ``_several``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from persistence.errors import (
    InvalidInputError,
    OutcomeUnknownError,
    PersistenceError,
    VectorStoreConflictError,
    VectorStoreUnavailableError,
)
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, MemoryWrite, Resolution, Tracking, WriteReceipt, Written
from persistence.records import Vector
from persistence.vector.qdrant import entries, layout
from persistence.vector.qdrant.engine import Found, Payload, Point, Put, Upsert
from persistence.vector.qdrant.guard import Judged, There, judge, won
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.session import LIMITS, ROUNDS, Limits, Part, limits_of
from persistence.vector.qdrant.terms import AnyOf, Empty, Ids, Is, Term

Ask = MemoryWrite | MemoryDelete

_LIVE_STATE = (*layout.MEMORY, *layout.STATE, "embedding")
_GUARDED = (*layout.STATE, *LIMITS)
#: What tells who has written.
_WRITTEN = ("write_id", "before", "version", *LIMITS)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What of a write is known before anything is read: its point, and what a memory's point holds."""

    ask: Ask
    point: str
    fields: Payload
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class _Sent:
    """A write that was judged, and what was there. ``arrived``: the microsecond that is its own."""

    prepared: _Prepared
    judged: Judged
    there: There | None
    former: Found | None
    arrived: int


class Writes(Part):
    """What the port says of writes."""

    async def write(self, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
        prepared = _prepare_write(write, self._bound())
        (receipt,) = await self._engine.run(lambda: self._apply([prepared], tracking, want_former), write=True)
        return receipt

    async def write_many(self, writes: Sequence[MemoryWrite], tracking: Tracking) -> list[WriteReceipt]:
        _check_batch(writes)
        dimension = self._bound()
        return await self._engine.run(lambda: self._write_many(writes, dimension, tracking), write=True)

    async def _write_many(
        self, writes: Sequence[MemoryWrite], dimension: int, tracking: Tracking
    ) -> list[WriteReceipt]:
        return await self._apply([_prepare_write(write, dimension) for write in writes], tracking, want_former=False)

    async def delete_many(
        self, deletes: Sequence[MemoryDelete], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        prepared = [_prepare_delete(delete) for delete in deletes]
        return await self._engine.run(lambda: self._apply(prepared, tracking, want_former), write=True)

    async def resolve(self, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
        return await self._engine.run(lambda: self._resolve(key, str(write_id), former_version), write=True)

    async def _resolve(self, key: Key, write_id: str, former_version: int | None) -> Resolution:
        point = layout.memory_point(key)
        found = await self._engine.get(self._memories, [point], ("write_id", "version"))
        fields = found[point].payload if point in found else {}
        if fields.get("write_id") == write_id:
            return Resolution.WRITTEN
        version = fields.get("version")
        return Resolution.NOT_WRITTEN if version == former_version or version is None else Resolution.UNKNOWN

    async def _apply(
        self,
        prepared: Sequence[_Prepared],
        tracking: Tracking,
        want_former: bool,  # noqa: FBT001 - both call it by place
    ) -> list[WriteReceipt]:
        """Write until nobody has come in between; what has been written stays, whatever becomes of the rest."""
        receipts: dict[str, WriteReceipt] = {}
        for _ in range(ROUNDS):
            rest = [one for one in prepared if one.point not in receipts]
            if not rest:
                return [receipts[one.point] for one in prepared]
            try:
                sent = await self._judged(rest, tracking, want_former=want_former)
                receipts.update(await self._sent(sent, tracking, want_former=want_former))
            except OutcomeUnknownError:
                raise
            except PersistenceError as error:
                raise _half_done(error) if _any_written(receipts) else error from error
        if _any_written(receipts):
            raise OutcomeUnknownError("Some memories of a batch were written; for others, too many writers were ahead.")
        raise VectorStoreConflictError("Too many writers were ahead of this one.")

    async def _judged(self, rest: Sequence[_Prepared], tracking: Tracking, *, want_former: bool) -> list[_Sent]:
        """Read what is there, and decide. Each memory of a batch gets a microsecond of its own for its version."""
        fields = (*_LIVE_STATE, *_GUARDED) if want_former else _GUARDED
        ids = [INFO, *(one.point for one in rest)]
        found = await self._engine.get(self._memories, ids, fields, vectors=want_former)
        limits = limits_of(found)
        keep = tracking.graph or limits.graph
        wall = layout.now()
        return [self._judge(one, found.get(one.point), limits, keep, wall, place) for place, one in enumerate(rest)]

    @staticmethod
    def _judge(
        one: _Prepared,
        found: Found | None,
        limits: Limits,
        keep: bool,  # noqa: FBT001 - a map over many calls it by place
        wall: int,
        place: int,
    ) -> _Sent:
        there = None if found is None else There.of(found.payload)
        arrived = wall + place
        judged = judge(one.ask, there, floor=limits.floor, keep=keep, stamp=arrived, wall=wall)
        return _Sent(one, judged, there, found, arrived)

    async def _sent(self, sent: Sequence[_Sent], tracking: Tracking, *, want_former: bool) -> dict[str, WriteReceipt]:
        """Send what is to be written; return the receipts of all but those that came too late."""
        receipts = {one.prepared.point: _receipt(one, one.judged.tracked) for one in sent if not one.judged.todo}
        todo = [one for one in sent if one.judged.todo]
        if not todo:
            return receipts
        replaced = [one.there.write_id for one in todo if one.there]
        points = [_point(one, tracking) for one in todo]
        await self._engine.change(self._memories, Upsert(points, [AnyOf("write_id", replaced)]))
        if not self._engine.shared:
            return receipts | {
                one.prepared.point: _receipt(one, one.judged.tracked, want_former=want_former) for one in todo
            }
        try:
            written = await self._read_back(todo, tracking, want_former=want_former)
        except VectorStoreUnavailableError as error:
            raise OutcomeUnknownError("Qdrant took a write, but did not say whether another one was ahead.") from error
        return {**receipts, **written}

    async def _read_back(
        self, todo: Sequence[_Sent], tracking: Tracking, *, want_former: bool
    ) -> dict[str, WriteReceipt]:
        found = await self._engine.get(self._memories, [INFO, *(one.prepared.point for one in todo)], _WRITTEN)
        limits = limits_of(found)
        receipts: dict[str, WriteReceipt] = {}
        for one in todo:
            after = found[one.prepared.point].payload if one.prepared.point in found else None
            verdict = won(str(one.prepared.ask.write_id), one.there, after)
            if verdict is None:
                raise OutcomeUnknownError("Others have written since, so whether this write was ahead cannot be told.")
            if verdict and after is not None and after["version"] > limits.floor:
                receipts[one.prepared.point] = _receipt(one, one.judged.tracked, want_former=want_former)
        if limits.graph and not tracking.graph:
            return await self._track(todo, receipts)
        return receipts

    async def _track(self, todo: Sequence[_Sent], receipts: Mapping[str, WriteReceipt]) -> dict[str, WriteReceipt]:
        """List what was written untracked while a graph was being registered."""
        tracked = dict(receipts)
        for one in todo:
            point, write_id = one.prepared.point, one.prepared.ask.write_id
            if point not in receipts or receipts[point].tracked or one.judged.version is None:
                continue
            wall = layout.now()
            entry = entries.new_entry(write_id, one.judged.version, at=wall, due=wall, disabled=True)
            only: list[Term] = [Ids([point]), Is("write_id", str(write_id)), Empty("entry")]
            await self._engine.change(self._memories, Put(only, entry))
            tracked[point] = _receipt(one, tracked=True)
        return tracked


def _check_batch(writes: Sequence[MemoryWrite]) -> None:
    """Refuse what a caller must not give: a wrong answer would be worse than an error."""
    if len({(write.user_id, write.id) for write in writes}) < len(writes):
        raise InvalidInputError("writes", len(writes), "the keys of a batch must be distinct")
    if len({write.mode for write in writes}) > 1 or any(write.expected_version is not None for write in writes):
        raise InvalidInputError("writes", len(writes), "a batch has one mode and no expected versions")


def _prepare_write(write: MemoryWrite, dimension: int) -> _Prepared:
    layout.check_embedding(write.embedding, dimension)
    if write.created_at is not None:
        layout.micros(write.created_at)
    vector = layout.unit(write.embedding)
    fields = {**layout.content(write), **layout.original(write.embedding, vector)}
    return _Prepared(write, layout.memory_point(write.key), fields, vector)


def _prepare_delete(delete: MemoryDelete) -> _Prepared:
    fields = {**layout.identity(delete.key), "live": 0, "bucket": delete.bucket}
    return _Prepared(delete, layout.memory_point(delete.key), fields, None)


def _point(one: _Sent, tracking: Tracking) -> Point:
    """Return the point that is to take the place of what is there."""
    ask, judged, there = one.prepared.ask, one.judged, one.there
    fields: Payload = {
        **one.prepared.fields,
        "version": judged.version,
        "arrived": one.arrived,
        "write_id": str(ask.write_id),
        "updated_at": judged.updated_at,
    }
    if isinstance(ask, MemoryWrite):
        fields["created_at"] = judged.created_at if ask.created_at is None else layout.micros(ask.created_at)
    if there is not None:
        fields["before"] = there.line
    if judged.tracked:
        fields.update(_entry(one, tracking))
    return Point(one.prepared.point, fields, one.prepared.vector)


def _entry(one: _Sent, tracking: Tracking) -> Payload:
    judged, there = one.judged, one.there
    wall = layout.now()
    at = there.entry_at if there is not None and there.entry_at is not None else wall
    due = wall + int(tracking.lease * 1_000_000)
    entry = entries.new_entry(
        one.prepared.ask.write_id, judged.version or 0, at=at, due=due, disabled=not tracking.graph
    )
    if there is not None and there.forced:
        entry["forced"] = True
    return {name: value for name, value in entry.items() if value is not None}


def _receipt(one: _Sent, tracked: bool, *, want_former: bool = False) -> WriteReceipt:  # noqa: FBT001 - one of two words
    ask, judged = one.prepared.ask, one.judged
    updated = None if judged.updated_at is None else layout.moment(judged.updated_at)
    former = None
    if want_former and one.former is not None and one.there is not None and one.there.live:
        former = layout.to_memory(one.former, embedding=True)
    if isinstance(ask, MemoryDelete):
        return WriteReceipt(judged.status, judged.version, None, updated, tracked, former)
    created = None if judged.created_at is None else layout.moment(judged.created_at)
    if judged.todo and ask.created_at is not None:
        created = ask.created_at
    return WriteReceipt(judged.status, judged.version, created, updated, tracked, former)


def _any_written(receipts: Mapping[str, WriteReceipt]) -> bool:
    return any(receipt.status is Written.WRITTEN for receipt in receipts.values())


def _half_done(error: PersistenceError) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"Some memories of a batch were written before this went wrong: {error.message}",
        hint="repeat the batch with the same write ids; what was written is not written again",
    )
