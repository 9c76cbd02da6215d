"""What runs found: recorded, seen again, resolved, listed. Whatever a run writes is fenced by its token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any, TypeVar
from uuid import UUID

from persistence.errors import LeaseLostError
from persistence.ports.runs import Depth, Inconsistency, InconsistencyQuery, Kind, Recorded
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Row, Session
from persistence.vector.sqlite.sessions import Part

T = TypeVar("T")

_SQL = Queries("inconsistencies")
_HELD = _SQL.get("held")
_RECORD = _SQL.get("record")
_RESOLVE, _RESOLVE_NUMBER = _SQL.get("resolve"), _SQL.get("resolve_number")
_OPEN_PAGE = {False: _SQL.get("open_page"), True: _SQL.get("open_page_tenant")}
_LIST = {False: _SQL.get("list"), True: _SQL.get("list_tenant")}
_LIST_OF_RUN = _SQL.get("list_of_run")
_COUNT_OPEN = {False: _SQL.get("count_open"), True: _SQL.get("count_open_tenant")}
_PRUNE = _SQL.get("prune")
_REMOVE = _SQL.get("remove")

#: Inconsistencies that one transaction records, resolves or looks at.
PAGE = 1_000
_START = ("", "", "", "", "")
_AFTER = ("after_user", "after_memory", "after_kind", "after_type", "after_key")

_Identity = tuple[str, str, str, str, str]


class Inconsistencies(Part):
    """What the port says of inconsistencies."""

    async def _held(self, run_id: UUID, token: int, work: Callable[[Session, int], T]) -> T:
        """Do the work, given the time, in a transaction in which the run is held. Raises LeaseLostError."""

        def fenced(session: Session) -> T:
            if session.row(_HELD, {"run_id": str(run_id), "token": token}) is None:
                raise LeaseLostError
            return work(session, self._sessions.now())

        return await self._sessions.write(fenced)

    async def record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        distinct = list({_identity(one): one for one in found}.values())
        for start in range(0, len(distinct), PAGE):
            await self._held(run_id, token, partial(_record, run_id=run_id, some=distinct[start : start + PAGE]))

    async def resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        resolved = 0
        for start in range(0, len(mended), PAGE):
            some = mended[start : start + PAGE]
            resolved += await self._held(run_id, token, partial(_resolve, run_id=run_id, some=some))
        return resolved

    async def resolve_unseen(self, run_id: UUID, token: int, user_id: str | None, depth: Depth, since: datetime) -> int:
        unseen = partial(_resolve_unseen, run_id=run_id, user_id=user_id, depth=depth, since=r.micros(since))
        resolved = 0
        after: _Identity | None = _START
        while after is not None:
            number, after = await self._held(run_id, token, partial(unseen, after=after))
            resolved += number
        return resolved

    async def inconsistencies(self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        listed = _LIST_OF_RUN if query.run_id is not None else _LIST[query.user_id is not None]
        given = {"user_id": query.user_id, "run_id": str(query.run_id), "after": after, "limit": limit}
        kinds = Kind if query.kind is None else [query.kind]
        opens = [True, False] if query.open is None else [query.open]

        def work(session: Session) -> list[Row]:
            # Each kind, open or resolved, has its place in the index, so none is read in vain.
            pages = [session.rows(listed, {**given, "kind": k.value, "open": o}) for k, o in product(kinds, opens)]
            return sorted(row for page in pages for row in page)[:limit]

        return [to_recorded(row) for row in await self._sessions.read(work)]

    async def count_open(self, user_id: str | None, *, bound: int = 100_000) -> dict[Kind, int]:
        query = _COUNT_OPEN[user_id is not None]

        def work(session: Session) -> dict[Kind, int]:
            counts, left = {}, bound
            for kind in Kind:
                counts[kind] = session.number(query, {"user_id": user_id, "kind": kind.value, "bound": left})
                left -= counts[kind]
            return {kind: count for kind, count in counts.items() if count}

        return await self._sessions.read(work)

    async def remove_found(self, user_id: str, memory_id: str | None, *, limit: int = 1_000) -> int:
        parameters = {"user_id": user_id, "memory_id": memory_id, "limit": limit}
        return await self._sessions.write(lambda session: session.changed(_REMOVE, parameters))

    async def _prune_resolved(self, age: float, limit: int) -> int:
        parameters = {"before": r.after(self._sessions.now(), -age), "limit": limit}
        return await self._sessions.write(lambda session: session.changed(_PRUNE, parameters))


def _identity(one: Inconsistency) -> _Identity:
    entity_type, entity_key = one.entity or ("", "")
    return one.user_id, one.memory_id or "", one.kind.value, entity_type, entity_key


def _record(session: Session, now: int, *, run_id: UUID, some: Sequence[Inconsistency]) -> None:
    rows = [
        (*_identity(i), i.depth.value, i.vector_version, i.graph_version, i.reason, str(run_id), now, now)
        for i in sorted(some, key=_identity)
    ]
    session.many(_RECORD, rows)


def _resolve(session: Session, now: int, *, run_id: UUID, some: Sequence[Inconsistency]) -> int:
    return session.many(_RESOLVE, [(now, str(run_id), *_identity(one)) for one in some])


def _resolve_unseen(
    session: Session, now: int, *, run_id: UUID, user_id: str | None, depth: Depth, since: int, after: _Identity
) -> tuple[int, _Identity | None]:
    """Resolve what was not seen again among the next open ones; return how many, and the last one looked at."""
    place: dict[str, Any] = dict(zip(_AFTER, after, strict=True))
    page = session.rows(_OPEN_PAGE[user_id is not None], {"user_id": user_id, "limit": PAGE, **place})
    unseen = [n for n, seen_at, last_seen, *_ in page if last_seen < since and Depth(seen_at).rank <= depth.rank]
    session.many(_RESOLVE_NUMBER, [(now, str(run_id), number) for number in unseen])
    return len(unseen), page[-1][3:] if page else None


def to_recorded(row: Row) -> Recorded:
    """Make a record of the columns of queries.RECORDED."""
    number, user_id, memory_id, kind, depth, vector, graph, entity_type, entity_key, reason, *rest = row
    run_id, first_seen, last_seen, resolved_at, resolved_by = rest
    entity = (entity_type, entity_key) if entity_type else None
    one = Inconsistency(user_id, memory_id or None, Kind(kind), Depth(depth), vector, graph, entity, reason)
    times = r.moment(first_seen), r.moment(last_seen), r.moment_or_none(resolved_at)
    return Recorded(number, one, _uuid(run_id), *times, _uuid(resolved_by))


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
