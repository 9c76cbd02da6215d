"""What a check, a repair and a rebuild ask of Neo4j. The comparisons are made in the server; little comes out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from persistence.graph.neo4j import statements
from persistence.graph.neo4j.connection import Connection
from persistence.ports.checking import EVERYTHING, BucketSum, EntityPage, GraphHead, Head, OrphanEntity, Span, StrayEdge
from persistence.ports.outbox import Key
from persistence.projection import BUCKET_BITS

#: Stray relationships of one page of entities; a page with more is asked for again in a smaller size.
MOST_STRAYS = 1_000
#: Of a single entity so many are shown at most; the rest of them by a check after these were cut.
MOST_OF_ONE = 10_000

After = tuple[str, str, str]


class Checking(Protocol):
    """What the port says of checks, for a store that has a connection and sees to it that it is prepared."""

    _connection: Connection

    async def _ready(self) -> None: ...

    async def _rows(self, statement: Any, **given: Any) -> list[Any]:
        await self._ready()
        return await self._connection.rows(statement, given)

    async def _number(self, statement: Any, **given: Any) -> int:
        await self._ready()
        (record,) = await self._connection.run(statement, given)
        return int(record["removed"])

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        whole = user_id is not None and bits == 0 and span == EVERYTHING
        statement = statements.BUCKET_SUMS_WHOLE if whole else statements.BUCKET_SUMS[user_id is not None]
        width = 1 << (BUCKET_BITS - bits)
        rows = await self._rows(statement, user_id=user_id, low=span.low, high=span.high, width=width)
        return {prefix: BucketSum(*sums) for prefix, *sums in rows}

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        if not spans:
            return []
        batch, width = _blocks(spans)
        rows = await self._rows(statements.BUCKET_ROWS[user_id is not None], user_id=user_id, batch=batch, width=width)
        return [Head(*row) for row in rows]

    async def heads(self, keys: Sequence[Key]) -> dict[Key, GraphHead]:
        if not keys:
            return {}
        rows = await self._rows(statements.HEADS, batch={"keys": [list(key) for key in dict.fromkeys(keys)]})
        return {Key(user_id, memory_id): GraphHead(*rest) for user_id, memory_id, *rest in rows}

    async def torn(self, user_id: str | None, span: Span, *, limit: int) -> list[Key]:
        statement = statements.TORN[user_id is not None]
        return [
            Key(*row) for row in await self._rows(statement, user_id=user_id, low=span.low, high=span.high, limit=limit)
        ]

    async def loose_ends(self, user_id: str | None, *, after: After | None, limit: int) -> EntityPage:
        await self._ready()
        start, kind, key = after or (user_id or "", "", "")
        while True:
            most = MOST_STRAYS if limit > 1 else MOST_OF_ONE
            given = {"user_id": start, "type": kind, "key": key, "limit": limit, "most": most}
            (record,) = await self._connection.run(statements.LOOSE_ENDS[user_id is not None], given)
            if len(record["strays"]) < most or limit == 1:
                break
            limit = max(1, limit // 8)
        edges = tuple(StrayEdge(str(handle), *rest) for handle, *rest in record["strays"])
        orphans = tuple(OrphanEntity(str(handle), *rest) for handle, *rest in record["lone"])
        return EntityPage(record["seen"], edges, orphans, _last(record, limit))

    async def still_loose(
        self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]
    ) -> tuple[list[StrayEdge], list[OrphanEntity]]:
        strays = set(await self._rows(statements.STILL_STRAY, batch=_edges(edges))) if edges else set()
        # First that it has no edge, then that it is there: else a removal in between would look like an orphan.
        lone = await self._rows(statements.LONE_ENTITIES, batch=_entities(orphans)) if orphans else []
        there = set(await self._rows(statements.THERE_ENTITIES, batch={"entities": lone})) if lone else set()
        return (
            [edge for edge in edges if int(edge.handle) in strays],
            [orphan for orphan in orphans if int(orphan.handle) in there],
        )

    async def cut_loose(self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> int:
        removed = await self._number(statements.CUT_STRAYS, batch=_edges(edges)) if edges else 0
        return removed + (await self._number(statements.CUT_ENTITIES, batch=_entities(orphans)) if orphans else 0)

    async def unstamped(
        self, user_id: str | None, generation: int, *, after: Key | None, limit: int
    ) -> tuple[list[tuple[Key, GraphHead]], Key | None]:
        await self._ready()
        start, memory_id = after or (user_id or "", "")
        given = {"user_id": start, "id": memory_id, "generation": generation, "limit": limit}
        (record,) = await self._connection.run(statements.UNSTAMPED[user_id is not None], given)
        found = [(Key(*row[:2]), GraphHead(row[2], row[3], live=True)) for row in record["rows"]]
        return found, Key(*record["last"]) if record["seen"] == limit else None


def _last(record: Any, limit: int) -> After | None:
    if record["seen"] < limit:
        return None
    user_id, kind, key = record["last"]
    return user_id, kind, key


def _blocks(spans: Sequence[Span]) -> tuple[dict[str, Any], int]:
    """Return the spans for either statement: as they are, and as numbers of equal blocks of the second value's size."""
    width = math.gcd(*(end for span in spans for end in span)) or 1
    blocks = [block for span in spans for block in range(span.low // width, span.high // width)]
    return {"spans": [list(span) for span in spans], "blocks": blocks}, width


def _edges(edges: Sequence[StrayEdge]) -> dict[str, Any]:
    """Return relationships in the order of their memories, which is the order in which all lock."""
    ordered = sorted(edges, key=lambda edge: (edge.user_id, edge.memory_id))
    return {"edges": [[int(edge.handle), edge.user_id, edge.memory_id] for edge in ordered]}


def _entities(orphans: Sequence[OrphanEntity]) -> dict[str, Any]:
    ordered = sorted(orphans, key=lambda orphan: (orphan.user_id, orphan.type, orphan.key))
    return {"entities": [[int(o.handle), o.user_id, o.type, o.key] for o in ordered]}
