"""Documents that change by comparison: each has a stamp, and is replaced only where it still has the one that was read.

On that rest counters (tokens, numbers), named leases, and the gates behind which runs begin one after another.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from uuid import UUID

from persistence.errors import VectorStoreConflictError
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Payload, Point, Upsert
from persistence.vector.qdrant.session import ROUNDS, Part
from persistence.vector.qdrant.terms import AnyOf

#: How long a gate is kept by one who does not come back, in microseconds.
GATE = 5_000_000


class Leases(Part):
    """Counters, named leases, gates."""

    async def hold(self, name: str, *, holder: UUID, lease: float) -> int | None:
        return await self._engine.run(lambda: self._hold(name, str(holder), lease), write=True)

    async def _hold(self, name: str, holder: str, lease: float) -> int | None:
        point = layout.point_id("lease", name)
        for _ in range(ROUNDS):
            there, wall = await self._document(point), layout.now()
            valid = there is not None and there["until"] > wall
            if there is not None and valid and there["holder"] != holder:
                return None
            token = int(there["token"]) if there is not None and valid else await self._draw("token")
            until = layout.now() + int(lease * 1_000_000)
            fields = {"type": "lease", "name": name, "holder": holder, "token": token, "until": until}
            if await self._swap(point, there, fields):
                return token
        raise VectorStoreConflictError("Too many ask for the same lease at once.")

    async def let_go(self, name: str, *, holder: UUID) -> None:
        await self._engine.run(lambda: self._let_go(name, str(holder)), write=True)

    async def _let_go(self, name: str, holder: str) -> None:
        point = layout.point_id("lease", name)
        there = await self._document(point)
        if there is not None and there["holder"] == holder:
            # Whoever has taken it meanwhile has it: then this changes nothing.
            await self._swap(point, there, {**there, "until": 0})

    async def _draw(self, name: str, number: int = 1) -> int:
        """Draw so many numbers, none of which was ever drawn before or is lower than one that was; return the first."""
        point = layout.point_id("counter", name)
        while True:
            there = await self._document(point)
            first = int(there["next"]) if there else 1
            if await self._swap(point, there, {"type": "counter", "next": first + number}):
                return first

    async def _enter(self, name: str) -> Payload | None:
        """Enter a gate; None where somebody else is in it."""
        point = layout.point_id("gate", name)
        there = await self._document(point)
        if there is None or there["until"] <= layout.now():
            inside = {"type": "gate", "until": layout.now() + GATE, "stamp": str(uuid.uuid4())}
            if await self._swap(point, there, inside):
                return inside
        return None

    async def _leave(self, name: str, inside: Payload) -> bool:
        """Leave a gate; False where it was taken over, so that somebody else was inside at the same time."""
        return await self._swap(layout.point_id("gate", name), inside, {"type": "gate", "until": 0})

    async def _document(self, point: str) -> Payload | None:
        found = await self._engine.get(self._runs, [point])
        return found[point].payload if point in found else None

    async def _swap(self, point: str, former: Payload | None, fields: Payload) -> bool:
        """Replace a document (None: insert it), if it still is the former one; it keeps a stamp that it brings."""
        stamp = str(uuid.uuid4()) if former is not None and fields.get("stamp") == former["stamp"] else None
        stamp = stamp or fields.get("stamp") or str(uuid.uuid4())
        return point in await self._swap_many([Point(point, {**fields, "stamp": stamp})], _stamps(former))

    async def _swap_many(self, points: Sequence[Point], formers: Sequence[str]) -> set[str]:
        """Replace documents, each that is there only with one of these stamps; return which have been."""
        await self._engine.change(self._runs, Upsert(points, [AnyOf("stamp", formers)]))
        found = await self._engine.get(self._runs, [point.id for point in points], ("stamp",))
        return {p.id for p in points if p.id in found and found[p.id].payload.get("stamp") == p.payload["stamp"]}


def _stamps(former: Payload | None) -> list[str]:
    return [] if former is None else [former["stamp"]]
