"""One tenant's memories and tombstones: by id, in their orders, and as a feed of changes."""

from __future__ import annotations

from bisect import bisect_right

from persistence.vector.memory.matrix import Matrix
from persistence.vector.memory.ordered import Ordered
from persistence.vector.memory.rows import Grave, Row


class Tenant:
    """One tenant's memories and tombstones, in their orders."""

    def __init__(self, dimension: int) -> None:
        self.memories: dict[str, Row] = {}
        self.tombstones: dict[str, Grave] = {}
        self.ids: Ordered[str] = Ordered()
        self.matrix = Matrix(dimension)
        self._latest: dict[str, int] = {}
        self._feed: list[tuple[int, str]] = []

    def put(self, row: Row) -> None:
        """Put a memory in."""
        self.matrix.put(row)
        self.memories[row.id] = row
        self.ids.add(row.id)

    def remove(self, memory_id: str) -> None:
        """Take a memory out."""
        if self.memories.pop(memory_id, None) is not None:
            self.matrix.remove(memory_id)
            self.ids.discard(memory_id)

    def bury(self, memory_id: str, grave: Grave | None) -> None:
        """Put a tombstone in, or take it out."""
        if grave is None:
            self.tombstones.pop(memory_id, None)
        else:
            self.tombstones[memory_id] = grave

    def note(self, memory_id: str, sequence: int) -> None:
        """Record in the feed that something of this id has changed."""
        self._latest[memory_id] = sequence
        self._feed.append((sequence, memory_id))
        if len(self._feed) > 2 * len(self._latest) + 100:
            self._feed = sorted((at, changed) for changed, at in self._latest.items())

    def changed(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Return the next changes beyond a place in the feed, each id once, where it changed last."""
        found: list[tuple[int, str]] = []
        start = bisect_right(self._feed, after, key=lambda change: change[0])
        for place in range(start, len(self._feed)):
            sequence, memory_id = self._feed[place]
            if self._latest.get(memory_id) == sequence:
                found.append((sequence, memory_id))
                if len(found) == limit:
                    break
        return found
