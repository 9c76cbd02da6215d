"""A store as it was at one moment, read while others change it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from persistence.ports.checking import Head, Span
from persistence.ports.outbox import Key
from persistence.ports.vector import StoreInfo, Tombstone, Truth
from persistence.results import Count
from persistence.vector.memory.encoding import FORMAT
from persistence.vector.memory.images import Captured
from persistence.vector.memory.outbox import OutboxPart
from persistence.vector.memory.rows import About, Grave, Row, to_memory
from persistence.vector.memory.runs import Runs
from persistence.vector.memory.state import Table
from persistence.vector.memory.storage import Storage
from persistence.vector.work import in_thread

_BY_BUCKET = attrgetter("bucket", "user_id", "id")


def info_of(about: About) -> StoreInfo:
    """Return what a store says of itself."""
    return StoreInfo(about.store_id, FORMAT, about.model, about.dimension, about.floor, about.graph, "none")


class Reading(OutboxPart, Runs):
    """What reads of a captured store. Memories are in the order of their buckets, tombstones in that of their keys.

    What else there is lies in a storage of its own, which nobody writes.
    """

    def __init__(self, captured: Captured) -> None:
        super().__init__(Storage())
        self._token = self
        self._memories: dict[Key, Row] = {}
        self._graves: dict[Key, Grave] = {}
        self._take(captured)
        self._rows = sorted(self._memories.values(), key=_BY_BUCKET)
        self._buckets = [row.bucket for row in self._rows]
        self._buried = sorted(self._graves)

    def _take(self, captured: Captured) -> None:
        others = {}
        for place, row in captured.rows:
            if place.table is Table.MEMORIES:
                self._memories[place.key] = row
            elif place.table is Table.TOMBSTONES:
                self._graves[place.key] = row
            else:
                others[place] = row
        self._storage.state.apply(others)

    async def info(self) -> StoreInfo:
        return info_of(self._storage.state.about)

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        counted = sum(row.user_id == user_id for row in self._rows) if user_id is not None else len(self._rows)
        return Count(min(counted, bound), exact=counted <= bound)

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        inside = (row for span in spans for row in self._inside(span))
        return [Head(r.user_id, r.id, r.digest, r.version) for r in inside if user_id in {None, r.user_id}]

    def _inside(self, span: Span) -> list[Row]:
        return self._rows[bisect_left(self._buckets, span.low) : bisect_left(self._buckets, span.high)]

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        found = await in_thread(lambda: {key: self._truth(key, embeddings=embeddings) for key in keys}, len(keys))
        return {key: truth for key, truth in found.items() if truth.version is not None}

    def _truth(self, key: Key, *, embeddings: bool) -> Truth:
        row, grave = self._memories.get(key), self._graves.get(key)
        if row is not None:
            return Truth(memory=to_memory(row, embeddings=embeddings))
        return Truth(tombstone=None if grave is None else Tombstone(*key, grave.version))

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        start = 0 if after is None else bisect_right(self._buried, after)
        keys = (key for key in self._buried[start:] if user_id in {None, key.user_id})
        return [Tombstone(*key, self._graves[key].version) for key, _ in zip(keys, range(limit), strict=False)]
