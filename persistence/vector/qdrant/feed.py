"""What changed since: a tenant's points in the order in which they arrived.

When a point arrives is set down before its write is done, so it may come to light after others that arrived later. A
scan therefore begins anew at what a write that is still under way may have: ``_UNDER_WAY`` ago. What it has seen of
that time stands in the cursor, so that it does not come again; where that is too much, it does.

No write may take longer than that, and no writer's clock may be behind by so much: the one thing here that is taken on
trust, and not checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from persistence.errors import VectorStoreError
from persistence.ports.vector import Changes
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Found
from persistence.vector.qdrant.session import Part
from persistence.vector.qdrant.terms import Is, Term, Within

_ORDER = "arrived"
#: Ten minutes: two machines may be five minutes apart, and a write may take as long again.
_UNDER_WAY = 600_000_000
#: The most that a cursor remembers; a scan's next page always begins behind it.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins, where the next scan does (0: none is under way), and what was seen from there on.

    Of what was seen: the beginning of the point's id, and when it arrived.
    """

    start: int
    horizon: int
    seen: tuple[tuple[str, int], ...]


class Feed(Part):
    """What the port says of changes."""

    async def changes(self, user_id: str, *, cursor: str | None, limit: int) -> Changes:
        position = _position(cursor)
        return await self._engine.run(lambda: self._changes(user_id, position, limit))

    async def _changes(self, user_id: str, position: Position, limit: int) -> Changes:
        horizon = position.horizon or layout.now() - _UNDER_WAY
        seen = set(position.seen)
        where: list[Term] = [Is("user_id", user_id), Within(_ORDER, gte=position.start)]
        found = await self._engine.ordered(
            self._memories, where, _ORDER, limit=limit + len(seen), fields=(*layout.MEMORY, _ORDER)
        )
        fresh = [point for point in found if _mark(point) not in seen][:limit]
        more = len(fresh) == limit
        after = _after(replace(position, horizon=horizon), fresh, more=more)
        return Changes(
            memories=tuple(layout.to_memory(point) for point in fresh if point.payload["live"]),
            tombstones=tuple(layout.to_tombstone(point) for point in fresh if not point.payload["live"]),
            cursor=json.dumps([after.start, after.horizon, after.seen], separators=(",", ":")),
            more=more,
        )


def _mark(found: Found) -> tuple[str, int]:
    return found.id[:18], found.payload[_ORDER]


def _after(position: Position, fresh: Sequence[Found], *, more: bool) -> Position:
    last = fresh[-1].payload[_ORDER] if fresh else position.start
    start = last if more else min(max(last, position.start), position.horizon)
    kept = min(start, position.horizon)
    seen = [mark for mark in (*position.seen, *map(_mark, fresh)) if mark[1] >= kept]
    if len(seen) > _REMEMBERED:
        seen = [mark for mark in seen if more and mark[1] >= start]
    return Position(start, position.horizon if more else 0, tuple(seen))


def _position(cursor: str | None) -> Position:
    if cursor is None:
        return Position(0, 0, ())
    try:
        start, horizon, seen = json.loads(cursor)
        return Position(int(start), int(horizon), tuple((str(mark), int(arrived)) for mark, arrived in seen))
    except (ValueError, TypeError) as error:
        raise VectorStoreError("This cursor is none of this vector store's feed.") from error
