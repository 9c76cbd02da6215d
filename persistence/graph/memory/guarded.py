"""All tenants' graphs behind one lock: what every part of the graph in memory stands on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from persistence.graph.memory.tenant import Note, Tenant

T = TypeVar("T")

#: Memories that are worked on upon the event loop; more of them go to a thread.
INLINE = 50


def nothing_against() -> None:
    """Nothing is in the way."""


class Guarded:
    """The tenants, and how work is done on them: one piece at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenants: dict[str, Tenant] = {}

    async def _run(self, work: Callable[[], T], size: int | None = None) -> T:
        """Do small work at once where nobody else is at it; all other work in a thread, which may wait."""
        if size is not None and size <= INLINE and self._lock.acquire(blocking=False):
            try:
                return work()
            finally:
                self._lock.release()
        return await asyncio.to_thread(self._locked, work)

    async def _alter(
        self,
        work: Callable[[], T],
        notes: Callable[[], Sequence[Note]],  # noqa: ARG002  # for those who keep them
        size: int | None = None,
        *,
        check: Callable[[], None] = nothing_against,
    ) -> T:
        """Do work that changes memories, unless ``check`` raises.

        ``notes`` says, before the work is done, what will be there of which memories.
        """

        def checked() -> T:
            check()
            return work()

        return await self._run(checked, size)

    def _locked(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()

    def _tenant(self, user_id: str) -> Tenant:
        """Return a tenant's graph; one that is only read is not kept."""
        return self._tenants.get(user_id) or Tenant()

    def _chosen(self, user_id: str | None) -> Mapping[str, Tenant]:
        """Return one tenant's graph, or all, in the order of their ids."""
        return dict(sorted(self._tenants.items())) if user_id is None else {user_id: self._tenant(user_id)}
