"""What runs found: recorded, seen again, resolved, listed. Whatever a run writes is fenced by its token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from psycopg import sql

from persistence.errors import LeaseLostError
from persistence.ports.runs import Depth, Inconsistency, InconsistencyQuery, Kind, Recorded
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.rows import Row
from persistence.vector.pgvector.session import Part

_SQL = Queries("inconsistencies")
_HELD = _SQL.template("held")
#: How a row of one tenant is found, by a condition and by comparing rows; False: of any tenant.
_TENANT = {False: sql.SQL("true"), True: sql.SQL("l.user_id = %(user_id)s")}
OF_TENANT = {
    False: {"of": sql.SQL(""), "this": sql.SQL("")},
    True: {"of": sql.SQL("l.user_id,"), "this": sql.SQL("%(user_id)s,")},
}
#: The columns of a record in the order of _recorded.
_RECORDED = sql.SQL(
    "i.number, i.user_id, i.memory_id, i.kind, i.depth, i.vector_version, i.graph_version, i.entity_type, i.entity_key,"
    " i.reason, i.run_id, i.first_seen, i.last_seen, i.resolved_at, i.resolved_by"
)
_RECORD = _SQL.get("record", held=_HELD)
_RESOLVE = _SQL.get("resolve", held=_HELD)
_RESOLVE_UNSEEN = {one: _SQL.get("resolve_unseen", held=_HELD, tenant=tenant) for one, tenant in _TENANT.items()}
_LIST = {one: _SQL.get("list", recorded=_RECORDED, **of) for one, of in OF_TENANT.items()}
_LIST_OF_RUN = {one: _SQL.get("list_of_run", recorded=_RECORDED, tenant=tenant) for one, tenant in _TENANT.items()}
_COUNT_OPEN = {one: _SQL.get("count_open", tenant=tenant) for one, tenant in _TENANT.items()}
_PRUNE = _SQL.get("prune")
_REMOVE = _SQL.get("remove")

#: Inconsistencies that one statement records, resolves or looks at.
PAGE = 1_000
_NO_ENTITY = UUID(int=0)
_START = ("", "", "", _NO_ENTITY)
_KINDS = [kind.value for kind in Kind]

_Identity = tuple[str, str, str, UUID]


class Inconsistencies(Part):
    """What the port says of inconsistencies."""

    async def _ask(self, query: bytes, *, write: bool = False, **parameters: Any) -> list[Row]:
        async with self._sessions.use(write=write) as connection:
            return await (await connection.execute(query, parameters, binary=True)).fetchall()

    async def _fenced(self, query: bytes, **parameters: Any) -> Row:
        """Run a statement that begins its answer by saying whether the run is held; return the rest."""
        ((held, *rest),) = await self._ask(query, write=True, **parameters)
        if not held:
            raise LeaseLostError
        return tuple(rest)

    async def record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        distinct = list({_identity(one): one for one in found}.values())
        for start in range(0, len(distinct), PAGE):
            some = distinct[start : start + PAGE]
            await self._fenced(_RECORD, run_id=run_id, token=token, **_identities(some), **_fields(some))

    async def resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        resolved = 0
        for start in range(0, len(mended), PAGE):
            keys = _identities(mended[start : start + PAGE])
            (number,) = await self._fenced(_RESOLVE, run_id=run_id, token=token, **keys)
            resolved += number
        return resolved

    async def resolve_unseen(self, run_id: UUID, token: int, user_id: str | None, depth: Depth, since: datetime) -> int:
        parameters = {"run_id": run_id, "token": token, "user_id": user_id, "since": since, "limit": PAGE}
        depths = [seen.value for seen in Depth if seen.rank <= depth.rank]
        resolved = 0
        after: Sequence[Any] = _START
        while after[0] is not None:
            number, *after = await self._fenced(
                _RESOLVE_UNSEEN[user_id is not None], depths=depths, **_after(after), **parameters
            )
            resolved += number
        return resolved

    async def inconsistencies(self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        listed = _LIST if query.run_id is None else _LIST_OF_RUN
        found = await self._ask(
            listed[query.user_id is not None],
            user_id=query.user_id,
            kinds=_KINDS if query.kind is None else [query.kind.value],
            run_id=query.run_id,
            open=[True, False] if query.open is None else [query.open],
            after=after,
            limit=limit,
        )
        return [_recorded(row) for row in found]

    async def count_open(self, user_id: str | None, *, bound: int = 100_000) -> dict[Kind, int]:
        query = _COUNT_OPEN[user_id is not None]
        return {Kind(kind): count for kind, count in await self._ask(query, user_id=user_id, kinds=_KINDS, bound=bound)}

    async def remove_found(self, user_id: str, memory_id: str | None, *, limit: int = 1_000) -> int:
        ((removed,),) = await self._ask(_REMOVE, write=True, user_id=user_id, memory_id=memory_id, limit=limit)
        return int(removed)

    async def _prune_resolved(self, age: float, limit: int) -> int:
        ((removed,),) = await self._ask(_PRUNE, write=True, age=float(age), limit=limit)
        return int(removed)


def _identity(one: Inconsistency) -> _Identity:
    return one.user_id, one.memory_id or "", one.kind.value, _entity_id(one.entity)


def _entity_id(entity: tuple[str, str] | None) -> UUID:
    """Return a hash of an entity's type and key, neither of which holds a NUL."""
    return UUID(bytes=blake2b("\0".join(entity).encode(), digest_size=16).digest()) if entity else _NO_ENTITY


def _identities(some: Sequence[Inconsistency]) -> dict[str, list[Any]]:
    keys = [_identity(one) for one in some]
    names = ("user_ids", "memory_ids", "kinds", "entity_ids")
    return {name: list(values) for name, values in zip(names, zip(*keys, strict=True), strict=True)}


def _fields(some: Sequence[Inconsistency]) -> dict[str, list[Any]]:
    return {
        "entity_types": [one.entity[0] if one.entity else "" for one in some],
        "entity_keys": [one.entity[1] if one.entity else "" for one in some],
        "depths": [one.depth.value for one in some],
        "vector_versions": [one.vector_version for one in some],
        "graph_versions": [one.graph_version for one in some],
        "reasons": [one.reason for one in some],
    }


def _after(key: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("after_user", "after_memory", "after_kind", "after_entity"), key, strict=True))


def _recorded(row: Row) -> Recorded:
    number, user_id, memory_id, kind, depth, vector, graph, entity_type, entity_key, reason, *rest = row
    entity = (entity_type, entity_key) if entity_type else None
    one = Inconsistency(user_id, memory_id or None, Kind(kind), Depth(depth), vector, graph, entity, reason)
    return Recorded(number, one, *rest)
