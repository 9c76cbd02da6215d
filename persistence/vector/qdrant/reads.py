"""The reads: by key, by page, by nearness."""

from __future__ import annotations

from collections.abc import Sequence

from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.ports.vector import Truth
from persistence.records import Memory, Vector
from persistence.results import Count
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.conditions import passes, to_terms
from persistence.vector.qdrant.counting import bounded
from persistence.vector.qdrant.engine import Found
from persistence.vector.qdrant.ordered import Ordered
from persistence.vector.qdrant.session import Part
from persistence.vector.qdrant.terms import Is, Term

_LIVE = Is("live", 1)
_WITH_EMBEDDING = (*layout.MEMORY, "embedding")
#: Hits beyond those that are wanted, among which ties and what does not pass may be.
_SPARE = 16


class Reads(Part):
    """What the port says of reads."""

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        return await self._engine.run(lambda: self._read(keys, embeddings=embeddings))

    async def _read(self, keys: Sequence[Key], *, embeddings: bool) -> dict[Key, Truth]:
        found = await self._points(keys, embeddings=embeddings)
        return {key: _truth(point, embeddings=embeddings) for key, point in found.items()}

    async def _points(self, keys: Sequence[Key], *, embeddings: bool) -> dict[Key, Found]:
        fields = _WITH_EMBEDDING if embeddings else layout.MEMORY
        ids = {key: layout.memory_point(key) for key in keys}
        found = await self._engine.get(self._memories, list(ids.values()), fields, vectors=embeddings)
        return {key: found[point] for key, point in ids.items() if point in found}

    async def _live(self, keys: Sequence[Key], where: Filter, *, embeddings: bool) -> list[Memory]:
        """Read memories in this order; those that are deleted, or do not pass any more, are left out."""
        found = await self._points(keys, embeddings=embeddings)
        points = (found[key] for key in keys if key in found)
        return [layout.to_memory(p, embedding=embeddings) for p in points if p.payload["live"] and passes(where, p)]

    async def page(
        self, user_id: str, *, after: str | None, limit: int, where: Filter, embeddings: bool = False
    ) -> list[Memory]:
        return await self._engine.run(lambda: self._page(user_id, after or "", limit, where, embeddings=embeddings))

    async def _page(self, user_id: str, after: str, limit: int, where: Filter, *, embeddings: bool) -> list[Memory]:
        ordered = Ordered(self._engine, self._memories, [_LIVE, *to_terms(where)])
        page: list[Memory] = []
        while len(page) < limit:
            keys = await ordered.of_tenant(user_id, after, limit - len(page))
            if not keys:
                break
            page += await self._live(keys, where, embeddings=embeddings)
            after = keys[-1].id
        return page

    async def search(self, user_id: str, vector: Vector, *, limit: int, where: Filter) -> list[tuple[Memory, float]]:
        layout.check_embedding(vector, self._bound())
        terms = [Is("user_id", user_id), _LIVE, *to_terms(where)]
        return await self._engine.run(lambda: self._search(layout.unit(vector), terms, limit, where))

    async def _search(self, vector: Vector, terms: list[Term], limit: int, where: Filter) -> list[tuple[Memory, float]]:
        """Ask the index first; where it does not bring enough of what passes, go through all, best first."""
        wanted = limit + _SPARE
        found = await self._engine.nearest(self._memories, vector, terms, limit=wanted)
        hits = [point for point in found if passes(where, point)]
        if not _enough(hits, found, limit, wanted):
            hits = await self._search_exactly(vector, terms, limit, where)
        hits.sort(key=lambda point: (-point.score, point.payload["id"]))
        return [(layout.to_memory(point), min(1.0, max(-1.0, point.score))) for point in hits[:limit]]

    async def _search_exactly(self, vector: Vector, terms: list[Term], limit: int, where: Filter) -> list[Found]:
        hits: list[Found] = []
        offset, size = 0, max(2 * limit + _SPARE, 256)
        while True:
            found = await self._engine.nearest(self._memories, vector, terms, limit=size, offset=offset, exact=True)
            hits += [point for point in found if passes(where, point)]
            if len(found) < size or _enough(hits, found, limit, size):
                return hits
            offset += size

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        terms: list[Term] = [_LIVE] if user_id is None else [Is("user_id", user_id), _LIVE]
        return await self._engine.run(lambda: bounded(self._engine, self._memories, terms, bound))


def _enough(hits: Sequence[Found], found: Sequence[Found], limit: int, wanted: int) -> bool:
    """Say whether the best are among the hits: as many as wanted, and no more that are as near as the last of them."""
    if len(found) < wanted:
        return False
    return len(hits) >= limit and found[-1].score < hits[limit - 1].score


def _truth(found: Found, *, embeddings: bool) -> Truth:
    if found.payload["live"]:
        return Truth(memory=layout.to_memory(found, embedding=embeddings))
    return Truth(tombstone=layout.to_tombstone(found))
