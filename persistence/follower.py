"""A graph in this process's memory follows truth by its change feed, tenant by tenant, before it is read.

It has no say over the outbox: what it lacks it fetches, and what other processes owe to their graph is theirs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from persistence.drafting import deletion
from persistence.gates import GraphGate, GraphRole, TruthGate
from persistence.ports.graph import GraphWrite
from persistence.ports.outbox import Key
from persistence.ports.vector import Changes
from persistence.projection import project
from persistence.records import Memory
from persistence.retry import Deadline

PAGE = 1_000


@dataclass(slots=True)
class _Tenant:
    """How far one tenant's projection has come. ``live``: the version of each memory it shows."""

    cursor: str | None = None
    followed_at: float = 0.0
    live: dict[str, int] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Follower:
    """Keeps a local graph in step with truth for the tenants that are read.

    ``max_age``: a feed not followed for so many seconds may miss tombstones that were collected meanwhile; then the
    tenant is read from the start.
    """

    def __init__(
        self, truth: TruthGate, graph: GraphGate, *, max_age: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._truth = truth
        self._graph = graph
        self._max_age = max_age
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}

    async def note(self, writes: Sequence[GraphWrite]) -> None:
        """Apply this process's own writes at once, for tenants that were read already; the rest comes by the feed."""
        shown = [write for write in writes if write.user_id in self._tenants]
        if shown:
            await self._apply(shown)

    async def follow(self, user_id: str, deadline: Deadline) -> None:
        """Bring one tenant up to what was committed before this call; nothing to do for a graph that is not local."""
        if self._graph.role is not GraphRole.LOCAL:
            return
        tenant = self._tenants.setdefault(user_id, _Tenant())
        async with tenant.lock:
            started = self._clock()
            if started - tenant.followed_at > self._max_age:
                await self._reload(user_id, tenant, deadline)
            else:
                await self._catch_up(user_id, tenant, deadline)
            tenant.followed_at = started

    async def _reload(self, user_id: str, tenant: _Tenant, deadline: Deadline) -> None:
        before, tenant.live, tenant.cursor = tenant.live, {}, None
        await self._catch_up(user_id, tenant, deadline)
        gone = [(memory_id, version) for memory_id, version in before.items() if memory_id not in tenant.live]
        await self._apply([deletion(Key(user_id, memory_id), version) for memory_id, version in gone])

    async def _catch_up(self, user_id: str, tenant: _Tenant, deadline: Deadline) -> None:
        while True:
            cursor = tenant.cursor
            changes = await self._truth.read(
                lambda cursor=cursor: self._truth.store.changes(user_id, cursor=cursor, limit=PAGE),  # type: ignore[misc]  # mypy does not infer a default
                deadline,
            )
            await self._take(user_id, tenant, changes)
            tenant.cursor = changes.cursor
            if not changes.more:
                return

    async def _take(self, user_id: str, tenant: _Tenant, changes: Changes) -> None:
        writes = await anyio.to_thread.run_sync(_writes, changes.memories) if changes.memories else []
        writes += [deletion(Key(user_id, gone.id), gone.version) for gone in changes.tombstones]
        await self._apply(writes)
        tenant.live.update({memory.id: memory.version for memory in changes.memories})
        for gone in changes.tombstones:
            if tenant.live.get(gone.id, 0) < gone.version:
                tenant.live.pop(gone.id, None)

    async def _apply(self, writes: Sequence[GraphWrite]) -> None:
        newest: dict[Key, GraphWrite] = {}
        for write in sorted(writes, key=lambda write: write.version):
            newest[Key(write.user_id, write.id)] = write
        if newest:
            await self._graph.apply(list(newest.values()), seconds=60.0)


def _writes(memories: Sequence[Memory]) -> list[GraphWrite]:
    return [graph_write(memory) for memory in memories]


def graph_write(memory: Memory, *, force: bool = False, generation: int | None = None) -> GraphWrite:
    """Return what the graph has to be told of a live memory as truth has it."""
    fragment = project(memory)
    identity = (memory.user_id, memory.id, memory.version, fragment.bucket, memory.created_at)
    return GraphWrite(*identity, fragment, force, generation)
