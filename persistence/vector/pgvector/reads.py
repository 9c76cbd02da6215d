"""The reads: by key, by page, by nearness, by what changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from psycopg import sql

from persistence.errors import VectorStoreError
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.ports.vector import Changes, Tombstone, Truth
from persistence.records import Memory, Vector
from persistence.results import Count
from persistence.vector.pgvector import rows as r
from persistence.vector.pgvector.conditions import Conditions
from persistence.vector.pgvector.index import HALF_LIMIT, VECTOR_LIMIT
from persistence.vector.pgvector.queries import MEMORY, MEMORY_LIGHT, MEMORY_WIDTH, Queries
from persistence.vector.pgvector.session import Part
from persistence.vector.work import in_thread

_SQL = Queries("reads")
_READ = {wide: _SQL.get("read", memory=MEMORY if wide else MEMORY_LIGHT) for wide in (False, True)}
_CHANGES = _SQL.get("changes", memory=MEMORY_LIGHT)
_BITMAPS = Queries("session").get("bitmaps")
_COUNT = _SQL.get("count")
_COUNT_ALL = _SQL.get("count_all")


class _Position(NamedTuple):
    """A place in the feed: ``horizon`` is where the next scan begins, the rest is how far this one is."""

    horizon: int
    memory_from: int
    memory_after: str
    tombstone_from: int
    tombstone_after: str


class Reads(Part):
    """What the port says of reads."""

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        if not keys:
            return {}
        parameters = {"user_ids": [key.user_id for key in keys], "ids": [key.id for key in keys]}
        async with self._sessions.use() as connection:
            found = await (await connection.execute(_READ[embeddings], parameters, binary=True)).fetchall()
        return await in_thread(lambda: dict(map(_truth, found)), len(found))

    async def page(
        self, user_id: str, *, after: str | None, limit: int, where: Filter, embeddings: bool = False
    ) -> list[Memory]:
        conditions = Conditions(where)
        query = _SQL.get("page", memory=MEMORY if embeddings else MEMORY_LIGHT, where=conditions.sql)
        parameters = {"user_id": user_id, "after": after or "", "limit": limit, **conditions.parameters}
        found = await self._filtered(query, parameters, conditions)
        return await in_thread(lambda: [r.to_memory(row) for row in found], len(found))

    async def search(self, user_id: str, vector: Vector, *, limit: int, where: Filter) -> list[tuple[Memory, float]]:
        """Ask the index first; where it gives up early (few rows of a large index match), ask every row."""
        r.check_dimension(vector, self._bound())
        conditions = Conditions(where)
        parameters = {"user_id": user_id, "vector": r.RawVector(vector), "limit": limit, **conditions.parameters}
        found = await self._nearest(self._by_index(), conditions, parameters)
        if len(found) < limit:
            found = await self._nearest("search_exact", conditions, parameters)
        return await in_thread(lambda: [_hit(row) for row in found], len(found))

    def _by_index(self) -> str:
        if self._bound() <= VECTOR_LIMIT:
            return "search"
        return "search_half" if self._bound() <= HALF_LIMIT else "search_exact"

    async def _nearest(self, name: str, conditions: Conditions, parameters: dict[str, Any]) -> list[r.Row]:
        query = _SQL.get(name, memory=MEMORY_LIGHT, where=conditions.sql, dimension=sql.Literal(self._bound()))
        return await self._filtered(query, parameters, conditions)

    async def _filtered(self, query: bytes, parameters: dict[str, Any], conditions: Conditions) -> list[r.Row]:
        """Run a query in one round trip. Never prepared: a plan made for any tenant and any filter would suit none."""
        async with self._sessions.use() as connection:
            if not conditions.on_metadata:
                return await (await connection.execute(query, parameters, prepare=False, binary=True)).fetchall()
            async with connection.pipeline(), connection.transaction():
                await connection.execute(_BITMAPS)
                cursor = await connection.execute(query, parameters, prepare=False, binary=True)
            return await cursor.fetchall()

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        async with self._sessions.use() as connection:
            if user_id is None:
                row = await (await connection.execute(_COUNT_ALL, {"bound": bound})).fetchone()
            else:
                row = await (await connection.execute(_COUNT, {"user_id": user_id, "bound": bound})).fetchone()
        counted, *estimate = row or (0,)
        return Count(counted, exact=True) if counted <= bound else Count(max(bound, *estimate, 0), exact=False)

    async def changes(self, user_id: str, *, cursor: str | None, limit: int) -> Changes:
        start = _position(cursor)
        parameters = {
            "user_id": user_id,
            "limit": limit,
            "memory_from": str(start.memory_from),
            "memory_after": start.memory_after,
            "tombstone_from": str(start.tombstone_from),
            "tombstone_after": start.tombstone_after,
        }
        async with self._sessions.use() as connection:
            found = await (await connection.execute(_CHANGES, parameters, binary=True)).fetchall()
        return await in_thread(partial(_changes, user_id, start, found, limit), len(found))


def _truth(row: r.Row) -> tuple[Key, Truth]:
    user_id, memory_id, version = row[MEMORY_WIDTH:]
    memory = r.to_memory(row) if row[0] is not None else None
    tombstone = None if version is None else Tombstone(user_id, memory_id, version)
    return Key(user_id, memory_id), Truth(memory, tombstone)


def _hit(row: r.Row) -> tuple[Memory, float]:
    return r.to_memory(row), min(1.0, max(-1.0, 1.0 - row[MEMORY_WIDTH]))


# --- the feed ---------------------------------------------------------------------------------------------------------
#
# A row's `changed` is the transaction that wrote it. Transactions commit in another order than they begin, so a cursor
# at the newest row would pass by an older transaction that commits later. Every transaction that had not committed when
# the first page of a scan was read is at or above that snapshot's xmin: there the next scan begins.


def _position(cursor: str | None) -> _Position:
    if cursor is None:
        return _Position(0, 0, "", 0, "")
    try:
        horizon, memory_from, tombstone_from, memory_length, ids = cursor.split(":", 4)
        split = int(memory_length)
        return _Position(int(horizon), int(memory_from), ids[:split], int(tombstone_from), ids[split:])
    except ValueError as error:
        raise VectorStoreError("This cursor is none of this vector store's feed.") from error


def _cursor(position: _Position) -> str:
    horizon, memory_from, memory_after, tombstone_from, tombstone_after = position
    return f"{horizon}:{memory_from}:{tombstone_from}:{len(memory_after)}:{memory_after}{tombstone_after}"


def _changes(user_id: str, start: _Position, rows: Sequence[r.Row], limit: int) -> Changes:
    xmin, *last = rows[-1][MEMORY_WIDTH:]
    horizon = start.horizon or int(xmin)
    found = [row for row in rows if row[MEMORY_WIDTH + 3] is not None]
    more = len(found) >= limit
    end = _after(horizon, *last) if more else _Position(0, horizon, "", horizon, "")
    return Changes(
        memories=tuple(r.to_memory(row) for row in found if row[0] is not None),
        tombstones=tuple(Tombstone(user_id, *row[-2:]) for row in found if row[MEMORY_WIDTH + 2] == 1),
        cursor=_cursor(end),
        more=more,
    )


def _after(horizon: int, changed: str, kind: int, memory_id: str, _version: int | None) -> _Position:
    """Return the position after a row; ids are never empty, so `(n, "")` is before all rows of transaction n."""
    at = int(changed)
    if kind == 0:
        return _Position(horizon, at, memory_id, at, "")
    return _Position(horizon, at + 1, "", at, memory_id)
