"""What a check, a repair and a rebuild ask of truth: sums, narrow rows, how single memories stand, and a walk.

Qdrant counts, but does not sum: the rows are read, a page of narrow ones at a time, and summed here.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

from persistence.filters import Filter
from persistence.ports.checking import HALF, BucketSum, Doubt, Head, Span, Standing
from persistence.ports.outbox import Key, OutboxEntry
from persistence.projection import BUCKET_BITS, bucket
from persistence.records import Memory
from persistence.vector.qdrant import entries, layout
from persistence.vector.qdrant.engine import Change, Found, Payload, Point, Put, Upsert
from persistence.vector.qdrant.ordered import Ordered
from persistence.vector.qdrant.reads import Reads
from persistence.vector.qdrant.terms import AnyOf, Either, Empty, Ids, Is, Term, Within

#: Narrow rows of one request.
_ROWS = 10_000
_LIVE = Is("live", 1)


class Checking(Reads):
    """What the port says of checks."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        return await self._engine.run(lambda: self._sums(user_id, span, BUCKET_BITS - bits))

    async def _sums(self, user_id: str | None, span: Span, shift: int) -> dict[int, BucketSum]:
        sums: dict[int, list[int]] = {}
        async for page in self._rows(user_id, [span], ("bucket", "digest", "version")):
            for found in page:
                fields = found.payload
                _add(sums.setdefault(fields["bucket"] >> shift, [0] * 5), fields["digest"], fields["version"])
        return {prefix: BucketSum(*numbers) for prefix, numbers in sums.items()}

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        return await self._engine.run(lambda: self._heads(user_id, spans))

    async def _heads(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        return [layout.to_head(found) async for page in self._rows(user_id, spans, layout.HEAD) for found in page]

    async def _rows(
        self, user_id: str | None, spans: Sequence[Span], fields: tuple[str, ...]
    ) -> AsyncIterator[list[Found]]:
        inside = [Within("bucket", gte=span.low, lt=span.high) for span in spans if span.low < span.high]
        if not inside:
            return
        tenant: list[Term] = [] if user_id is None else [Is("user_id", user_id)]
        where = [*tenant, _LIVE, Either(inside)]
        start: str | None = None
        while True:
            page, start = await self._engine.scroll(self._memories, where, limit=_ROWS, start=start, fields=fields)
            yield page
            if start is None:
                break

    async def standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        return await self._engine.run(lambda: self._standings(keys))

    async def _standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        ids = {key: layout.memory_point(key) for key in keys}
        found = await self._engine.get(self._memories, list(ids.values()), ("version", "digest", "entry"))
        return {key: _standing(found.get(point)) for key, point in ids.items()}

    async def walk(
        self, user_id: str | None, *, after: Key | None, limit: int, embeddings: bool = False
    ) -> list[Memory]:
        return await self._engine.run(lambda: self._walk(user_id, after or Key("", ""), limit, embeddings=embeddings))

    async def _walk(self, user_id: str | None, after: Key, limit: int, *, embeddings: bool) -> list[Memory]:
        """Read the next memories. A page without any is the end, so one whose memories are all gone is passed over."""
        ordered = Ordered(self._engine, self._memories, [_LIVE])
        while True:
            if user_id is None:
                keys = await ordered.of_all(after, limit)
            else:
                keys = await ordered.of_tenant(user_id, after.id, limit)
            memories = await self._live(keys, Filter(), embeddings=embeddings)
            if memories or not keys:
                return memories
            after = keys[-1]

    async def enlist(self, doubts: Sequence[Doubt], *, lease: float) -> list[OutboxEntry]:
        return await self._engine.run(lambda: self._enlist(doubts, lease), write=True)

    async def _enlist(self, doubts: Sequence[Doubt], lease: float) -> list[OutboxEntry]:
        """List what is there, if it is not listed yet; insert what is not there, if it still is not."""
        ids = [layout.memory_point(Key(doubt.user_id, doubt.id)) for doubt in doubts]
        found = await self._engine.get(self._memories, ids, ("live",))
        claimant, wall = str(uuid.uuid4()), layout.now()
        changes: list[Change] = []
        graves: list[Point] = []
        for place, (point, doubt) in enumerate(zip(ids, doubts, strict=True)):
            entry = _forced(doubt, claimant, wall, wall + int(lease * 1_000_000))
            if point in found:
                changes.append(Put([Ids([point]), Empty("entry")], entry))
            else:
                graves.append(Point(point, {**_grave(doubt, wall), "arrived": wall + place, **entry}))
        if graves:
            changes.append(Upsert(graves, [AnyOf("write_id", [])]))
        await self._engine.change(self._memories, *changes)
        after = await self._engine.get(self._memories, ids, layout.ENTRY)
        listed = (after[point] for point in ids if point in after)
        return sorted(
            (entries.to_entry(point) for point in listed if point.payload.get("claimant") == claimant),
            key=lambda entry: entry.key,
        )


def _add(sums: list[int], digest: int, version: int) -> None:
    for place, number in enumerate((1, digest // HALF, digest % HALF, version // HALF, version % HALF)):
        sums[place] += number


def _standing(found: Found | None) -> Standing:
    if found is None:
        return Standing(None, None, pending=False)
    fields = found.payload
    return Standing(fields["version"], fields.get("digest"), pending="entry" in fields)


def _forced(doubt: Doubt, claimant: str, wall: int, until: int) -> Payload:
    return {
        "entry": entries.entry_name(uuid.uuid4(), doubt.version),
        "entry_at": wall,
        "attempts": 1,
        "claim": wall,
        "claimant": claimant,
        "due": until,
        "forced": True,
    }


def _grave(doubt: Doubt, wall: int) -> Payload:
    key = Key(doubt.user_id, doubt.id)
    return {
        **layout.identity(key),
        "live": 0,
        "bucket": bucket(*key),
        "version": doubt.version,
        "write_id": str(uuid.uuid4()),
        "updated_at": wall,
    }
