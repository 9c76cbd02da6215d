"""The reads: by key, by page, by what changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from persistence.errors import VectorStoreError
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.ports.vector import Changes, Tombstone, Truth
from persistence.records import Memory
from persistence.results import Count
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.conditions import Conditions
from persistence.vector.sqlite.queries import MEMORY_WIDTH, Queries
from persistence.vector.sqlite.session import Session
from persistence.vector.sqlite.sessions import Part

_SQL = Queries("reads")
_MEMORY = _SQL.get("memory")
_TOMBSTONE = _SQL.get("tombstone")
_COUNT = _SQL.get("count")
_COUNT_ALL = _SQL.get("count_all")
_NEWEST = _SQL.get("newest")
_CHANGED_MEMORIES = _SQL.get("changed_memories")
_CHANGED_TOMBSTONES = _SQL.get("changed_tombstones")


class Reads(Part):
    """What the port says of reads."""

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        if not keys:
            return {}
        return await self._sessions.read(partial(_read, keys=keys, embeddings=embeddings))

    async def page(
        self, user_id: str, *, after: str | None, limit: int, where: Filter, embeddings: bool = False
    ) -> list[Memory]:
        conditions = Conditions(where)
        query = _SQL.get("page", where=conditions.sql)
        parameters = {"user_id": user_id, "after": after or "", "limit": limit, "embeddings": embeddings}
        return await self._sessions.read(
            lambda session: [r.to_memory(row) for row in session.rows(query, {**parameters, **conditions.parameters})]
        )

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        query = _COUNT_ALL if user_id is None else _COUNT
        counted = await self._sessions.read(lambda session: session.number(query, {"user_id": user_id, "bound": bound}))
        return Count(min(counted, bound), exact=counted <= bound)

    async def changes(self, user_id: str, *, cursor: str | None, limit: int) -> Changes:
        after = _position(cursor)
        return await self._sessions.read(partial(_changes, user_id=user_id, after=after, limit=limit))


def _read(session: Session, keys: Sequence[Key], *, embeddings: bool) -> dict[Key, Truth]:
    found = ((key, _truth(session, key, embeddings=embeddings)) for key in keys)
    return {key: truth for key, truth in found if truth is not None}


def _truth(session: Session, key: Key, *, embeddings: bool) -> Truth | None:
    parameters = {**key._asdict(), "embeddings": embeddings}
    if (row := session.row(_MEMORY, parameters)) is not None:
        return Truth(memory=r.to_memory(row))
    row = session.row(_TOMBSTONE, key._asdict())
    return None if row is None else Truth(tombstone=Tombstone(*row))


# --- the feed: a cursor is the number of a change; every later commit has higher ones ---------------------------------


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()):
        raise _foreign()
    return int(cursor)


def _foreign() -> VectorStoreError:
    return VectorStoreError("This cursor is none of this vector store's feed.")


def _changes(session: Session, user_id: str, after: int, limit: int) -> Changes:
    newest = session.number(_NEWEST)
    if after > newest:
        raise _foreign()
    parameters = {"user_id": user_id, "after": after, "limit": limit}
    memories = [(row[MEMORY_WIDTH], row) for row in session.rows(_CHANGED_MEMORIES, parameters)]
    tombstones = [(row[-1], row) for row in session.rows(_CHANGED_TOMBSTONES, parameters)]
    numbers = sorted(number for number, _ in [*memories, *tombstones])[:limit]
    more = len(numbers) == limit
    last = numbers[-1] if more else newest
    return Changes(
        memories=tuple(r.to_memory(row) for number, row in memories if number <= last),
        tombstones=tuple(Tombstone(*row[:-1]) for number, row in tombstones if number <= last),
        cursor=str(last),
        more=more,
    )
