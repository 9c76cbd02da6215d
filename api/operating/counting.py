"""Counts that nobody waits long for: one that takes its time goes on, and the last one stands in for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cachetools import LRUCache

from persistence.health import NOT_COUNTED
from persistence.results import Count

#: Seconds that a count is waited for: where there is a former one to stand in for it, and where there is none.
PATIENCE, FIRST_PATIENCE = 0.02, 1.0
#: Counts under way at once, and former ones that are kept.
MOST_UNDER_WAY, MOST_KEPT = 8, 1_024

Counter = Callable[[str | None], Awaitable[Count]]


class Counting:
    """Counts of one store, by tenant (None: of all). One count of a tenant is under way at a time."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._former: LRUCache[str | None, Count] = LRUCache(MOST_KEPT)
        self._under_way: dict[str | None, asyncio.Task[Count]] = {}

    async def get(self, user_id: str | None) -> Count:
        """Return a count: a fresh one if it comes soon, else the former one, not exact, else null."""
        former = self._former.get(user_id)
        task = self._counted(user_id)
        if task is not None:
            await asyncio.wait({task}, timeout=FIRST_PATIENCE if former is None else PATIENCE)
            if task.done() and not task.cancelled():
                return task.result()
        return NOT_COUNTED if former is None else replace(former, exact=False)

    async def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _counted(self, user_id: str | None) -> asyncio.Task[Count] | None:
        """Return the count that is under way, or a new one; None where there are too many already."""
        task = self._under_way.get(user_id)
        if task is None and len(self._under_way) < MOST_UNDER_WAY:
            task = self._under_way[user_id] = asyncio.create_task(self._count(user_id), name="diptych-count")
        return task

    async def _count(self, user_id: str | None) -> Count:
        try:
            count = await self._counter(user_id)
        finally:
            del self._under_way[user_id]
        if count.value is None:
            self._former.pop(user_id, None)
        else:
            self._former[user_id] = count
        return count
