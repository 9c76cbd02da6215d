"""Copies from another store: memories and tombstones at the versions that they come with, each atomic by itself.

Qdrant has no transactions over points. Each is replaced where it still is what was read and found older; where somebody
came in between, it is looked at again.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persistence.errors import OutcomeUnknownError, VectorStoreConflictError, VectorStoreUnavailableError
from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone, Tracking, Transferred
from persistence.projection import bucket
from persistence.records import Memory, Vector
from persistence.vector.qdrant import entries, layout
from persistence.vector.qdrant.engine import Change, Payload, Point, Put, Upsert
from persistence.vector.qdrant.guard import There, won
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.ordered import Ordered
from persistence.vector.qdrant.session import LIMITS, ROUNDS, Part, limits_of
from persistence.vector.qdrant.terms import AnyOf, Empty, Ids, Is, Term, Within
from persistence.vector.transfers import as_write, check_transfer

_GUARDED = (*layout.STATE, *LIMITS)
_WRITTEN = ("write_id", "before", *LIMITS)
_DEAD = Is("live", 0)


@dataclass(frozen=True, slots=True)
class _Item:
    """A memory or a tombstone as it is to be: its point, without what depends on what is there."""

    key: Key
    point: str
    version: int
    write_id: uuid.UUID
    fields: Payload
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class _Sent:
    """An item that is newer than what was there. ``tracked``: with an outbox entry."""

    item: _Item
    there: There | None
    tracked: bool


class Transfers(Part):
    """What the port says of copies from another store."""

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        return await self._engine.run(lambda: self._buried(user_id, after or Key("", ""), limit))

    async def _buried(self, user_id: str | None, after: Key, limit: int) -> list[Tombstone]:
        """Read the next tombstones. A page whose tombstones are all gone meanwhile is passed over."""
        ordered = Ordered(self._engine, self._memories, [_DEAD])
        while True:
            if user_id is None:
                keys = await ordered.of_all(after, limit)
            else:
                keys = await ordered.of_tenant(user_id, after.id, limit)
            ids = [layout.memory_point(key) for key in keys]
            found = await self._engine.get(self._memories, ids, (*layout.KEY, "live", "version")) if ids else {}
            dead = [
                layout.to_tombstone(found[point])
                for point in ids
                if point in found and not found[point].payload["live"]
            ]
            if dead or not keys:
                return dead
            after = keys[-1]

    async def transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
    ) -> Transferred:
        if not memories and not tombstones:
            return Transferred((), ())
        check_transfer(memories, tombstones)
        dimension = self._bound()
        return await self._engine.run(lambda: self._transfer(memories, tombstones, dimension, tracking), write=True)

    async def _transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], dimension: int, tracking: Tracking
    ) -> Transferred:
        items = [*(_live(memory, dimension) for memory in memories), *map(_dead, tombstones)]
        done: dict[Key, bool] = {}
        for _ in range(ROUNDS):
            rest = [item for item in items if item.key not in done]
            if not rest:
                return Transferred(
                    tuple(item.key for item in items if done[item.key]),
                    tuple(item.key for item in items if not done[item.key]),
                )
            done |= await self._transfer_round(rest, tracking)
        raise VectorStoreConflictError("Too many writers were ahead of a transfer.")

    async def _transfer_round(self, items: Sequence[_Item], tracking: Tracking) -> dict[Key, bool]:
        """Bring what is newer; return what was written (True) or left alone, without those that came too late."""
        found = await self._engine.get(self._memories, [INFO, *(item.point for item in items)], _GUARDED)
        keep = tracking.graph or limits_of(found).graph
        there = {item.key: There.of(found[item.point].payload) if item.point in found else None for item in items}
        newer = [_sent(item, there[item.key], keep=keep) for item in items if _is_newer(item, there[item.key])]
        brought = {sent.item.key for sent in newer}
        left = {item.key: False for item in items if item.key not in brought}
        return left | (await self._bring(newer, tracking) if newer else {})

    async def _bring(self, newer: Sequence[_Sent], tracking: Tracking) -> dict[Key, bool]:
        replaced = [sent.there.write_id for sent in newer if sent.there]
        wall = layout.now()
        points = [_point(sent, tracking, wall, wall + place) for place, sent in enumerate(newer)]
        await self._engine.change(self._memories, Upsert(points, [AnyOf("write_id", replaced)]))
        try:
            return await self._brought(newer, tracking)
        except VectorStoreUnavailableError as error:
            raise OutcomeUnknownError("Qdrant took a transfer, but did not say whether a write was ahead.") from error

    async def _brought(self, newer: Sequence[_Sent], tracking: Tracking) -> dict[Key, bool]:
        found = await self._engine.get(self._memories, [INFO, *(sent.item.point for sent in newer)], _WRITTEN)
        payloads = {point: one.payload for point, one in found.items()}
        written = [sent for sent in newer if _won(sent, payloads)]
        if limits_of(found).graph and (missed := [sent for sent in written if not sent.tracked]):
            # A graph was registered meanwhile.
            await self._engine.change(self._memories, *(_listing(sent, tracking) for sent in missed))
        return {sent.item.key: True for sent in written}

    async def raise_floor(self, floor: int) -> None:
        raised = Put([Ids([INFO]), Within("floor", lt=floor)], {"floor": floor})
        await self._engine.run(lambda: self._engine.change(self._memories, raised), write=True)


def _live(memory: Memory, dimension: int) -> _Item:
    write = as_write(memory)
    layout.check_embedding(write.embedding, dimension)
    vector = layout.unit(write.embedding)
    fields = {
        **layout.content(write),
        **layout.original(write.embedding, vector),
        "created_at": layout.micros(memory.created_at),
        "updated_at": layout.micros(memory.updated_at),
    }
    return _Item(write.key, layout.memory_point(write.key), memory.version, write.write_id, fields, vector)


def _dead(stone: Tombstone) -> _Item:
    key = Key(stone.user_id, stone.id)
    fields = {**layout.identity(key), "live": 0, "bucket": bucket(*key), "updated_at": layout.now()}
    return _Item(key, layout.memory_point(key), stone.version, uuid.uuid4(), fields)


def _is_newer(item: _Item, there: There | None) -> bool:
    return there is None or item.version > there.version


def _sent(item: _Item, there: There | None, *, keep: bool) -> _Sent:
    return _Sent(item, there, keep or (there is not None and there.entry_id is not None))


def _point(sent: _Sent, tracking: Tracking, wall: int, arrived: int) -> Point:
    item, there = sent.item, sent.there
    fields: Payload = {
        **item.fields,
        "version": item.version,
        "arrived": arrived,
        "write_id": str(item.write_id),
    }
    if there is not None:
        fields["before"] = there.line
    if sent.tracked:
        at = there.entry_at if there is not None and there.entry_at is not None else wall
        entry = _entry(sent, tracking, at=at, wall=wall)
        fields |= {name: value for name, value in entry.items() if value is not None}
        if there is not None and there.forced:
            fields["forced"] = True
    return Point(item.point, fields, item.vector)


def _entry(sent: _Sent, tracking: Tracking, *, at: int, wall: int) -> Payload:
    due = wall + int(tracking.lease * 1_000_000)
    return entries.new_entry(sent.item.write_id, sent.item.version, at=at, due=due, disabled=not tracking.graph)


def _won(sent: _Sent, payloads: Mapping[str, Payload]) -> bool:
    verdict = won(str(sent.item.write_id), sent.there, payloads.get(sent.item.point))
    if verdict is None:
        raise OutcomeUnknownError("Others have written since, so whether a transfer was ahead cannot be told.")
    return verdict


def _listing(sent: _Sent, tracking: Tracking) -> Change:
    wall, item = layout.now(), sent.item
    only: list[Term] = [Ids([item.point]), Is("write_id", str(item.write_id)), Empty("entry")]
    return Put(only, _entry(sent, tracking, at=wall, wall=wall))
