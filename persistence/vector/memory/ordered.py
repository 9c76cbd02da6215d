"""Keys in their order, kept cheaply: sorted again only where somebody asks, and then from what was sorted before."""

from __future__ import annotations

from bisect import bisect_right
from typing import Generic, TypeVar

from persistence.ports.outbox import Key

K = TypeVar("K", str, Key)


class Ordered(Generic[K]):
    """A set that is read in pages, in rising order."""

    def __init__(self) -> None:
        self._all: dict[K, None] = {}
        self._sorted: list[K] = []
        self._stale = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, key: K) -> None:
        """Put a key in. What comes in rising order, as ids made by time do, costs nothing later."""
        if key in self._all:
            return
        self._all[key] = None
        if not self._stale and (not self._sorted or key > self._sorted[-1]):
            self._sorted.append(key)
        else:
            self._stale += 1

    def discard(self, key: K) -> None:
        """Take a key out."""
        if key in self._all:
            del self._all[key]
            self._stale += 1

    def after(self, key: K | None, limit: int) -> list[K]:
        """Return the next keys beyond ``key``."""
        if self._stale:
            self._sorted = sorted(self._all)
            self._all = dict.fromkeys(self._sorted)
            self._stale = 0
        start = 0 if key is None else bisect_right(self._sorted, key)
        return self._sorted[start : start + limit]
