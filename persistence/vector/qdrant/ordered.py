"""Reading in the order of keys, which Qdrant does not know: it sorts by numbers only.

So the first bytes of the ids lie beside them as numbers, six bytes each, and keys are found level by level: in the
order of the first six bytes, then, among those which have them in common, in that of the next six. What is the same at
all levels (ids whose first 18 bytes agree) is read whole and sorted here, keeping no more than is asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from persistence.ports.outbox import Key
from persistence.vector.qdrant.engine import Engine, Found
from persistence.vector.qdrant.layout import ID_RANKS, KEY, USER_RANKS, rank, to_key
from persistence.vector.qdrant.session import PAGE
from persistence.vector.qdrant.terms import Is, Not, Term, Terms, Within

Name = Callable[[Key], str]


class Ordered:
    """Keys of one collection that meet some terms, in order."""

    def __init__(self, engine: Engine, collection: str, where: Terms) -> None:
        self._engine = engine
        self._collection = collection
        self._where = list(where)

    async def of_tenant(self, user_id: str, after: str, limit: int) -> list[Key]:
        """Return a tenant's next keys beyond the id ``after`` ("": from the beginning)."""
        where = [Is("user_id", user_id), *self._where]
        return await self._level(where, ID_RANKS, lambda key: key.id, after, limit)

    async def of_all(self, after: Key, limit: int) -> list[Key]:
        """Return the next keys of whatever tenant, beyond ``after``."""
        keys = await self.of_tenant(after.user_id, after.id, limit) if after.user_id else []
        user = after.user_id
        while len(keys) < limit:
            others = [*self._where, Not(Is("user_id", user))] if user else self._where
            nearest = await self._level(others, USER_RANKS, lambda key: key.user_id, user, 1)
            if not nearest:
                break
            user = nearest[0].user_id
            keys += await self.of_tenant(user, "", limit - len(keys))
        return keys

    async def _level(
        self, where: Terms, levels: Sequence[str], name: Name, after: str, limit: int, depth: int = 0
    ) -> list[Key]:
        """Return the first keys beyond ``after`` whose levels above this one are fixed by ``where``."""
        if limit <= 0:
            return []
        if depth == len(levels):
            return await self._sorted(where, name, after, limit)
        least, field = rank(after, depth), levels[depth]
        within: list[Term] = [*where, Is(field, least)]
        keys = await self._level(within, levels, name, after, limit, depth + 1) if after else []
        beyond = [*where, Within(field, gte=least + 1 if after else 0)]
        while len(keys) < limit:
            wanted = limit - len(keys)
            page = await self._engine.ordered(self._collection, beyond, field, limit=wanted + 1, fields=(*KEY, field))
            whole, cut = _groups(page, field, full=len(page) > wanted)
            keys += [key for group in whole for key in sorted(map(to_key, group), key=name)]
            if cut is None:
                break
            keys += await self._level([*where, Is(field, cut)], levels, name, "", limit - len(keys), depth + 1)
            beyond = [*where, Within(field, gte=cut + 1)]
        return keys[:limit]

    async def _sorted(self, where: Terms, name: Name, after: str, limit: int) -> list[Key]:
        least: list[Key] = []
        start: str | None = None
        while True:
            page, start = await self._engine.scroll(self._collection, where, limit=PAGE, start=start, fields=KEY)
            beyond = (key for key in map(to_key, page) if name(key) > after)
            least = heapq.nsmallest(limit, (*least, *beyond), key=name)
            if start is None:
                return least


def _groups(page: Sequence[Found], field: str, *, full: bool) -> tuple[list[list[Found]], int | None]:
    """Divide a page by its numbers; the last number of a full page may go on, and is returned for itself."""
    groups: Iterator[tuple[int, Iterator[Found]]] = groupby(page, key=lambda found: int(found.payload[field]))
    divided = [(number, list(group)) for number, group in groups]
    if not full:
        return [group for _, group in divided], None
    return [group for _, group in divided[:-1]], divided[-1][0]
