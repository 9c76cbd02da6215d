"""What runs found: recorded, seen again, resolved, listed.

The point of an open inconsistency is named by whose it is; when it is found again after it was resolved, the former
record goes into the history, under a name of its own.

A run's token is asked for before and after. Between the two somebody may take the run over: then what it found is
recorded all the same, and the call raises LeaseLostError.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from persistence.errors import LeaseLostError, VectorStoreConflictError
from persistence.ports.outbox import OutboxEntry
from persistence.ports.runs import Depth, Inconsistency, InconsistencyQuery, Kind, Recorded, RunState
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Found, Payload, Point, Put, Remove, Upsert
from persistence.vector.qdrant.leases import Leases
from persistence.vector.qdrant.session import PAGE, ROUNDS
from persistence.vector.qdrant.terms import AnyOf, Empty, Ids, Is, Not, Term, Within

_FOUND = Is("type", "found")
_OPEN = Empty("resolved")


class Inconsistencies(Leases):
    """What the port says of inconsistencies."""

    async def record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        await self._engine.run(lambda: self._record(run_id, token, found), write=True)

    async def _record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        await self._held(run_id, token)
        distinct = list({_point(one): one for one in found}.values())
        for start in range(0, len(distinct), PAGE):
            await self._keep(distinct[start : start + PAGE], str(run_id))
            await self._held(run_id, token)

    async def _held(self, run_id: UUID, token: int) -> Payload:
        """Return the run for whoever holds it. Raises LeaseLostError."""
        run = await self._document(run_point(run_id))
        if run is None or run["token"] != token or run["state"] != RunState.RUNNING.value:
            raise LeaseLostError
        return run

    async def _keep(self, found: Sequence[Inconsistency], run_id: str | None) -> None:
        rest = {_point(one): one for one in found}
        wall = layout.now()
        for _ in range(ROUNDS):
            there = await self._engine.get(self._runs, list(rest))
            history = [_history(point) for point in there.values() if "resolved" in point.payload]
            if history:
                await self._engine.change(self._runs, Upsert(history, [AnyOf("stamp", [])]))
            points = await self._seen(rest, there, run_id, wall)
            done = await self._swap_many(points, [point.payload["stamp"] for point in there.values()])
            rest = {point: one for point, one in rest.items() if point not in done}
            if not rest:
                return
        raise VectorStoreConflictError("Too many runs found the same at once.")

    async def _seen(
        self, found: Mapping[str, Inconsistency], there: Mapping[str, Found], run_id: str | None, wall: int
    ) -> list[Point]:
        """Return the records as they are to be: new ones, with numbers drawn for them, or open ones, seen again."""
        opened = {id_: point.payload for id_, point in there.items() if "resolved" not in point.payload}
        new = len(found) - len(opened)
        first = await self._draw("number", new) if new else 0
        numbers = iter(range(first, first + new))
        times = {"run_id": run_id, "last_seen": wall}
        points = []
        for point, one in found.items():
            if (former := opened.get(point)) is None:
                kept = {"number": next(numbers), "first_seen": wall, **times}
            else:
                last = max(wall, former["last_seen"])
                kept = {"number": former["number"], "first_seen": former["first_seen"], **times, "last_seen": last}
            points.append(Point(point, _fields(one, kept)))
        return points

    async def _keep_discarded(self, entry: OutboxEntry) -> None:
        one = Inconsistency(entry.user_id, entry.id, Kind.DISCARDED, vector_version=entry.version, reason=entry.reason)
        await self._keep([one], None)

    async def resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        return await self._engine.run(lambda: self._resolve_mended(run_id, token, mended), write=True)

    async def _resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        await self._held(run_id, token)
        points = list(dict.fromkeys(_point(one) for one in mended))
        resolved = 0
        for start in range(0, len(points), PAGE):
            resolved += await self._resolved(points[start : start + PAGE], [], run_id)
            await self._held(run_id, token)
        return resolved

    async def _resolved(self, points: Sequence[str], where: Sequence[Term], run_id: UUID) -> int:
        """Mark those that are open as resolved; return how many this call has marked."""
        mark = str(uuid.uuid4())
        fields = {"resolved": layout.now(), "resolved_by": str(run_id), "stamp": mark}
        await self._engine.change(self._runs, Put([Ids(points), _FOUND, _OPEN, *where], fields))
        after = await self._engine.get(self._runs, points, ("stamp",))
        return sum(point.payload["stamp"] == mark for point in after.values())

    async def resolve_unseen(self, run_id: UUID, token: int, user_id: str | None, depth: Depth, since: datetime) -> int:
        depths = [seen.value for seen in Depth if seen.rank <= depth.rank]
        unseen = [*_tenant(user_id), AnyOf("depth", depths), Within("last_seen", lt=layout.micros(since))]
        return await self._engine.run(lambda: self._resolve_unseen(run_id, token, unseen), write=True)

    async def _resolve_unseen(self, run_id: UUID, token: int, unseen: Sequence[Term]) -> int:
        await self._held(run_id, token)
        resolved = 0
        while True:
            page, _ = await self._engine.scroll(self._runs, [_FOUND, _OPEN, *unseen], limit=PAGE, fields=("number",))
            if not page:
                return resolved
            resolved += await self._resolved([point.id for point in page], unseen, run_id)
            await self._held(run_id, token)

    async def inconsistencies(self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        where = [_FOUND, *_tenant(query.user_id), Within("number", gte=after + 1)]
        if query.kind is not None:
            where.append(Is("kind", query.kind.value))
        if query.run_id is not None:
            where.append(Is("run_id", str(query.run_id)))
        if query.open is not None:
            where.append(_OPEN if query.open else Not(_OPEN))
        found = await self._engine.run(lambda: self._engine.ordered(self._runs, where, "number", limit=limit))
        return [_recorded(point.payload) for point in found]

    async def count_open(self, user_id: str | None, *, bound: int = 100_000) -> dict[Kind, int]:
        return await self._engine.run(lambda: self._count_open(user_id, bound))

    async def _count_open(self, user_id: str | None, bound: int) -> dict[Kind, int]:
        counts: dict[Kind, int] = {}
        left = bound
        for kind in Kind:
            where: list[Term] = [_FOUND, _OPEN, *_tenant(user_id), Is("kind", kind.value)]
            number = min(left, await self._engine.count(self._runs, where))
            if number:
                counts[kind] = number
                left -= number
        return counts

    async def remove_found(self, user_id: str, memory_id: str | None, *, limit: int = 1_000) -> int:
        of_memory: list[Term] = [] if memory_id is None else [Is("memory_id", memory_id)]
        where = [_FOUND, Is("user_id", user_id), *of_memory]
        return await self._engine.run(lambda: self._remove(where, limit), write=True)

    async def _remove(self, where: Sequence[Term], limit: int) -> int:
        page, _ = await self._engine.scroll(self._runs, where, limit=limit, fields=("number",))
        if page:
            await self._engine.change(self._runs, Remove([Ids([point.id for point in page]), *where]))
        return len(page)

    async def _prune_resolved(self, before: int, limit: int) -> int:
        old: list[Term] = [_FOUND, Within("resolved", lt=before)]
        page = await self._engine.ordered(self._runs, old, "resolved", limit=limit, fields=("resolved",))
        if page:
            await self._engine.change(self._runs, Remove([Ids([point.id for point in page]), *old]))
        return len(page)


def run_point(run_id: UUID) -> str:
    """Return the id of a run's point."""
    return layout.point_id("run", str(run_id))


def _tenant(user_id: str | None) -> list[Term]:
    return [] if user_id is None else [Is("user_id", user_id)]


def _point(one: Inconsistency) -> str:
    return layout.point_id("found", one.user_id, one.memory_id or "", one.kind.value, *(one.entity or ()))


def _fields(one: Inconsistency, kept: Payload) -> Payload:
    fields: Payload = {
        "type": "found",
        "stamp": str(uuid.uuid4()),
        "user_id": one.user_id,
        "memory_id": one.memory_id,
        "kind": one.kind.value,
        "depth": one.depth.value,
        "vector_version": one.vector_version,
        "graph_version": one.graph_version,
        "entity": list(one.entity) if one.entity else None,
        "reason": one.reason,
        **kept,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _history(found: Found) -> Point:
    return Point(layout.point_id("history", found.id, str(found.payload["number"])), found.payload)


def _recorded(fields: Payload) -> Recorded:
    entity, run_id = fields.get("entity"), fields.get("run_id")
    resolved, resolved_by = fields.get("resolved"), fields.get("resolved_by")
    one = Inconsistency(
        user_id=fields["user_id"],
        memory_id=fields.get("memory_id"),
        kind=Kind(fields["kind"]),
        depth=Depth(fields["depth"]),
        vector_version=fields.get("vector_version"),
        graph_version=fields.get("graph_version"),
        entity=(entity[0], entity[1]) if entity else None,
        reason=fields.get("reason"),
    )
    return Recorded(
        number=fields["number"],
        inconsistency=one,
        run_id=UUID(run_id) if run_id else None,
        first_seen=layout.moment(fields["first_seen"]),
        last_seen=layout.moment(fields["last_seen"]),
        resolved_at=None if resolved is None else layout.moment(resolved),
        resolved_by=UUID(resolved_by) if resolved_by else None,
    )
