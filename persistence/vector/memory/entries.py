"""The outbox's entries: by key, in the order of keys, and by the time when they are due."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from persistence.ports.outbox import Key
from persistence.vector.memory.ordered import Ordered
from persistence.vector.memory.rows import Entry


class Entries:
    """The entries, by key and by the time when they are due."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Entry] = {}
        self.keys: Ordered[Key] = Ordered()
        self._queue: list[tuple[int, int, Key]] = []
        self._count = 0

    def put(self, entry: Entry) -> None:
        """Put an entry in."""
        self.by_key[entry.key] = entry
        self.keys.add(entry.key)
        if entry.dead_at is None:
            self._count += 1
            heappush(self._queue, (entry.due_at, self._count, entry.key))
        if len(self._queue) > 4 * len(self.by_key) + 100:
            self._queue = [item for item in self._queue if self._at(item) is not None]
            heapify(self._queue)

    def remove(self, key: Key) -> None:
        """Take an entry out."""
        if self.by_key.pop(key, None) is not None:
            self.keys.discard(key)

    def first(self) -> Entry | None:
        """Return the entry that is due first."""
        while self._queue:
            entry = self._at(self._queue[0])
            if entry is not None:
                return entry
            heappop(self._queue)
        return None

    def due(self, moment: int, limit: int) -> list[Entry]:
        """Return the entries that are due, the oldest due first; they stay where they are."""
        found: dict[Key, Entry] = {}
        taken = []
        while len(found) < limit and (entry := self.first()) is not None and entry.due_at <= moment:
            taken.append(heappop(self._queue))
            found[entry.key] = entry
        for item in taken:
            heappush(self._queue, item)
        return list(found.values())

    def _at(self, item: tuple[int, int, Key]) -> Entry | None:
        """Return the entry that an item of the queue speaks of, None where it is out of date."""
        entry = self.by_key.get(item[2])
        return entry if entry is not None and entry.dead_at is None and entry.due_at == item[0] else None
