"""Tombstones: found when they are due, and removed where they are still the same."""

from __future__ import annotations

from collections.abc import Sequence

from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Found, Put, Remove
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.session import Part
from persistence.vector.qdrant.terms import AnyOf, Empty, Ids, Is, Term, Within


class Tombstones(Part):
    """What the port says of tombstones."""

    async def tombstones_due(self, *, age: float, limit: int) -> list[Tombstone]:
        before = layout.now() - int(age * 1_000_000)
        where: list[Term] = [Is("live", 0), Empty("entry"), Within("updated_at", lt=before)]
        fields = (*layout.KEY, "version")
        found, _ = await self._engine.run(
            lambda: self._engine.scroll(self._memories, where, limit=limit, fields=fields)
        )
        return [layout.to_tombstone(point) for point in found]

    async def collect_tombstones(self, tombstones: Sequence[Tombstone]) -> int:
        return await self._engine.run(lambda: self._collect(tombstones), write=True)

    async def _collect(self, tombstones: Sequence[Tombstone]) -> int:
        """Raise the floor before anything is removed: whoever finds a tombstone gone, finds the floor above it."""
        ids = {layout.memory_point(Key(t.user_id, t.id)): t.version for t in tombstones}
        found = await self._engine.get(self._memories, list(ids), ("live", "version", "write_id", "entry"))
        gone = [point for point in found.values() if _is_settled(point, ids[point.id])]
        if not gone:
            return 0
        floor = max(point.payload["version"] for point in gone)
        await self._engine.change(self._memories, Put([Ids([INFO]), Within("floor", lt=floor)], {"floor": floor}))
        points, written = [point.id for point in gone], [point.payload["write_id"] for point in gone]
        same: list[Term] = [Ids(points), AnyOf("write_id", written), Is("live", 0), Empty("entry")]
        await self._engine.change(self._memories, Remove(same))
        return len(points) - len(await self._engine.get(self._memories, points, ("version",)))


def _is_settled(point: Found, version: int) -> bool:
    fields = point.payload
    return not fields["live"] and fields["version"] == version and "entry" not in fields
