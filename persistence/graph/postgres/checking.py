"""What a check, a repair and a rebuild ask of the graph. The comparisons are made in the server; little comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from psycopg import sql

from persistence.errors import GraphStoreError
from persistence.graph.postgres.session import Sessions
from persistence.ports.checking import BucketSum, EntityPage, GraphHead, Head, OrphanEntity, Span, StrayEdge
from persistence.ports.outbox import Key
from persistence.postgres.queries import Queries
from persistence.projection import BUCKET_BITS

_SQL = Queries(__package__, "checking")
_OF_MEMORIES = {False: sql.SQL("true"), True: sql.SQL("m.user_id = %(user_id)s")}
_OF_ENTITIES = {False: sql.SQL("true"), True: sql.SQL("e.user_id = %(user_id)s")}
_SUMS = {one: _SQL.get("bucket_sums", tenant=tenant) for one, tenant in _OF_MEMORIES.items()}
_ROWS = {one: _SQL.get("bucket_rows", tenant=tenant) for one, tenant in _OF_MEMORIES.items()}
_TORN = {one: _SQL.get("torn", tenant=tenant) for one, tenant in _OF_MEMORIES.items()}
_UNSTAMPED = {one: _SQL.get("unstamped", tenant=tenant) for one, tenant in _OF_MEMORIES.items()}
_LOOSE_ENDS = {one: _SQL.get("loose_ends", tenant=tenant) for one, tenant in _OF_ENTITIES.items()}
_HEADS = _SQL.get("heads")
_STILL_STRAY = _SQL.get("still_stray")
_STILL_LONE = _SQL.get("still_lone")
_CUT_STRAYS = _SQL.get("cut_strays")
_CUT_LONE = _SQL.get("cut_lone")

#: What the lower halves are summed less.
_BIAS = 2**31
#: Stray relationships of one page of entities; a page with more is asked for again in a smaller size.
MOST_STRAYS = 1_000
#: Of a single entity so many are shown at most; the rest of them by a check after these were cut.
MOST_OF_ONE = 10_000

After = tuple[str, str, str]


class Checking(Protocol):
    """What the port says of checks, for a store that has sessions and sees to it that they are prepared."""

    _sessions: Sessions

    async def _ready(self) -> None: ...

    async def _rows(
        self, query: bytes, given: Mapping[str, Any], *, write: bool = False, prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        """Return what a query answers. ``prepare`` False: a plan made for any tenant and any span would suit none."""
        await self._ready()
        async with self._sessions.use(write=write) as connection:
            return await (await connection.execute(query, given, prepare=prepare, binary=True)).fetchall()

    async def _row(self, query: bytes, given: Mapping[str, Any], *, write: bool = False) -> tuple[Any, ...]:
        rows = await self._rows(query, given, write=write)
        if len(rows) != 1:
            raise GraphStoreError(f"PostgreSQL answered {len(rows)} rows where one was expected.")
        return rows[0]

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        given = {"user_id": user_id, "low": span.low, "high": span.high, "shift": BUCKET_BITS - bits}
        rows = await self._rows(_SUMS[user_id is not None], given, prepare=False)
        return {row[0]: _sum(*row[1:]) for row in rows}

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        given = {"user_id": user_id, "lows": [s.low for s in spans], "highs": [s.high for s in spans]}
        return [Head(*row) for row in await self._rows(_ROWS[user_id is not None], given, prepare=False)]

    async def heads(self, keys: Sequence[Key]) -> dict[Key, GraphHead]:
        wanted = list(dict.fromkeys(keys))
        rows = await self._rows(_HEADS, {"user_ids": [k.user_id for k in wanted], "ids": [k.id for k in wanted]})
        return {Key(user_id, memory_id): GraphHead(*rest) for user_id, memory_id, *rest in rows}

    async def torn(self, user_id: str | None, span: Span, *, limit: int) -> list[Key]:
        given = {"user_id": user_id, "low": span.low, "high": span.high, "limit": limit}
        return [Key(*row) for row in await self._rows(_TORN[user_id is not None], given, prepare=False)]

    async def loose_ends(self, user_id: str | None, *, after: After | None, limit: int) -> EntityPage:
        start = dict(zip(("after_user", "after_type", "after_key"), after or (user_id or "", "", ""), strict=True))
        query = _LOOSE_ENDS[user_id is not None]
        while True:
            most = MOST_STRAYS if limit > 1 else MOST_OF_ONE
            seen, last, lone, strays = await self._row(
                query, {**start, "user_id": user_id, "limit": limit, "most": most}
            )
            if len(strays or ()) < most or limit == 1:
                break
            limit = max(1, limit // 8)
        edges = tuple(StrayEdge(*stray) for stray in strays or ())
        orphans = tuple(OrphanEntity(*orphan) for orphan in lone or ())
        return EntityPage(seen, edges, orphans, tuple(last) if seen == limit else None)

    async def still_loose(
        self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]
    ) -> tuple[list[StrayEdge], list[OrphanEntity]]:
        strays = {place for (place,) in await self._rows(_STILL_STRAY, _edges(edges))} if edges else set()
        lone = {place for (place,) in await self._rows(_STILL_LONE, _entities(orphans))} if orphans else set()
        return (
            [edge for place, edge in enumerate(edges, 1) if place in strays],
            [orphan for place, orphan in enumerate(orphans, 1) if place in lone],
        )

    async def cut_loose(self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> int:
        ordered = sorted(edges, key=lambda edge: (edge.user_id, edge.memory_id))
        removed = int((await self._row(_CUT_STRAYS, _edges(ordered), write=True))[0]) if edges else 0
        return removed + (int((await self._row(_CUT_LONE, _entities(orphans), write=True))[0]) if orphans else 0)

    async def unstamped(
        self, user_id: str | None, generation: int, *, after: Key | None, limit: int
    ) -> tuple[list[tuple[Key, GraphHead]], Key | None]:
        start = after or Key(user_id or "", "")
        given = {"user_id": user_id, "after_user": start.user_id, "after_id": start.id}
        rows = await self._rows(_UNSTAMPED[user_id is not None], {**given, "generation": generation, "limit": limit})
        found = [(Key(*row[:2]), GraphHead(row[2], row[3], live=True)) for row in rows if row[4]]
        return found, Key(*rows[-1][:2]) if rows and rows[-1][5] == limit else None


def _sum(count: int, digest_high: int, digest_low: int, version_high: int, version_low: int) -> BucketSum:
    return BucketSum(count, digest_high, digest_low + count * _BIAS, version_high, version_low + count * _BIAS)


def _edges(edges: Sequence[StrayEdge]) -> dict[str, list[Any]]:
    parted = [edge.handle.partition(":") for edge in edges]
    return {
        "numbers": [int(number) for number, _, _ in parted],
        "places": [int(place) for _, _, place in parted],
        "user_ids": [edge.user_id for edge in edges],
        "ids": [edge.memory_id for edge in edges],
    }


def _entities(orphans: Sequence[OrphanEntity]) -> dict[str, list[Any]]:
    return {
        "numbers": [int(orphan.handle) for orphan in orphans],
        "user_ids": [orphan.user_id for orphan in orphans],
        "types": [orphan.type for orphan in orphans],
        "keys": [orphan.key for orphan in orphans],
    }
