"""The graph store in this process's memory, safe under concurrent tasks and threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from uuid import UUID, uuid4

from persistence.errors import GraphStoreError, GraphWriteExpiredError
from persistence.graph.counting import bounded
from persistence.graph.identity import Stamp, accepted, new_graph_id
from persistence.graph.memory.checking import Checking
from persistence.graph.memory.guarded import INLINE
from persistence.graph.memory.tenant import Note, Tenant, judge, node_of
from persistence.graph.memory.walk import mentioning, related
from persistence.graph.ordering import key_of, refuse_twins
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.graph import (
    GraphAck,
    GraphCounts,
    GraphEntity,
    GraphHit,
    GraphMemory,
    GraphWrite,
    Verdict,
)
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Tombstone

__all__ = ["INLINE", "MemoryGraph"]


class MemoryGraph(Checking):
    """A ``GraphStore`` that lives and dies with this process. ``clock``: seconds, by which late writes are refused."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._stamp = Stamp(f"memory-{uuid4()}")

    @property
    def kind(self) -> str:
        return "memory"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return OF_GRAPHS - {Capability.DURABLE, Capability.SHARED}

    async def open(self) -> None:
        """Nothing to do: what is here is here."""

    async def close(self) -> None:
        """Nothing to release; what is here stays as long as this object."""

    async def ping(self) -> str:
        return "in this process"

    async def identify(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool = False) -> GraphIdentity:
        with self._lock:
            self._stamp, identity = self._stamped(store_id, known, adopt=adopt)
        return identity

    async def release(self, truth_id: UUID) -> None:
        with self._lock:
            self._stamp = self._released(truth_id)

    def _released(self, truth_id: UUID) -> Stamp:
        stamp = self._stamp
        return Stamp(stamp.database_id) if stamp.truth_id == truth_id else stamp

    def _stamped(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool) -> tuple[Stamp, GraphIdentity]:
        """Return the stamp that the graph is to have, and what it says."""
        stamp = self._stamp
        if stamp.graph_id is None:
            stamp = Stamp(stamp.database_id, new_graph_id(stamp, known, adopt=adopt), store_id)
        identity = accepted(stamp, store_id, known, adopt=adopt)
        if identity is None:
            raise GraphStoreError("The graph lost the identity it was just stamped with.")
        return stamp, identity

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        if not writes:
            return []
        refuse_twins(writes)
        return await self._alter(
            lambda: self._apply(writes), lambda: self._accepted(writes), len(writes), check=self._until(timeout)
        )

    async def clear(self, user_id: str, *, limit: int, timeout: float) -> int:
        return await self._alter(
            lambda: self._tenant(user_id).clear(limit),
            lambda: [Note(user_id, *left) for left in self._tenant(user_id).cleared(limit).items()],
            check=self._until(timeout),
        )

    async def read(self, keys: Sequence[Key], *, locked: bool = False) -> dict[Key, GraphMemory]:  # noqa: ARG002  # always
        return await self._run(lambda: self._read(keys), len(keys))

    async def related(self, user_id: str, ids: Sequence[str], *, depth: int, limit: int) -> list[GraphHit]:
        return await self._run(lambda: related(self._tenant(user_id), ids, depth, limit))

    async def entities(self, user_id: str, *, after: tuple[str, str] | None, limit: int) -> list[GraphEntity]:
        return await self._run(lambda: self._entities(user_id, after or ("", ""), limit))

    async def mentioning(self, user_id: str, entity: tuple[str, str], *, limit: int) -> list[str]:
        return await self._run(lambda: mentioning(self._tenant(user_id), entity, limit))

    async def counts(self, user_id: str | None, *, bound: int = 100_000) -> GraphCounts:
        return await self._run(lambda: self._counts(user_id, bound))

    async def collect(self, tombstones: Sequence[Tombstone]) -> None:
        await self._alter(lambda: self._collect(tombstones), lambda: self._collected(tombstones), len(tombstones))

    def _until(self, timeout: float) -> Callable[[], None]:
        """Return what refuses a write, once its time has passed."""
        if timeout <= 0:
            raise GraphWriteExpiredError
        not_after = self._clock() + timeout

        def refuse_late() -> None:
            if self._clock() > not_after:
                raise GraphWriteExpiredError

        return refuse_late

    def _apply(self, writes: Sequence[GraphWrite]) -> list[GraphAck]:
        by_tenant: dict[str, list[GraphWrite]] = {}
        for write in writes:
            by_tenant.setdefault(write.user_id, []).append(write)
        acks: dict[Key, GraphAck] = {}
        for user_id, theirs in by_tenant.items():
            tenant = self._tenants.setdefault(user_id, Tenant())
            acks.update(zip(map(key_of, theirs), tenant.apply(theirs), strict=True))
        return [acks[key_of(write)] for write in writes]

    def _accepted(self, writes: Sequence[GraphWrite]) -> list[Note]:
        """Say what writes will make of which memories, in the order in which they are put."""
        there = [self._tenant(write.user_id).memories.get(write.id) for write in writes]
        pairs = zip(there, writes, strict=True)
        accepted = [write for node, write in pairs if judge(node, write).verdict is Verdict.APPLIED]
        accepted.sort(key=lambda write: (write.version, write.id))
        return [Note(write.user_id, write.id, node_of(write)) for write in accepted]

    def _collected(self, tombstones: Sequence[Tombstone]) -> list[Note]:
        """Say which tombstones will be gone."""
        return [
            Note(gone.user_id, gone.id, None)
            for gone in tombstones
            if self._tenant(gone.user_id).collectable(gone.id, gone.version)
        ]

    def _read(self, keys: Sequence[Key]) -> dict[Key, GraphMemory]:
        found = {key: self._tenant(key.user_id).read(key.user_id, key.id) for key in keys}
        return {key: memory for key, memory in found.items() if memory is not None}

    def _entities(self, user_id: str, after: tuple[str, str], limit: int) -> list[GraphEntity]:
        tenant = self._tenant(user_id)
        ends = sorted(end for end in tenant.entities if end > after)[:limit]
        return [GraphEntity(*end, tenant.entities[end].name, {}) for end in ends]

    def _counts(self, user_id: str | None, bound: int) -> GraphCounts:
        tenants = list(self._tenants.values()) if user_id is None else [self._tenant(user_id)]
        nodes = (node for tenant in tenants for node in tenant.memories.values())
        live = [node.fragment is not None for node in islice(nodes, bound + 1)]
        entities = sum(len(tenant.entities) for tenant in tenants)
        every = sum(len(tenant.memories) for tenant in tenants)
        return bounded(sum(live), len(live) - sum(live), entities, bound, every)

    def _collect(self, tombstones: Sequence[Tombstone]) -> None:
        for gone in tombstones:
            tenant = self._tenants.get(gone.user_id)
            if tenant is not None:
                tenant.collect(gone.id, gone.version)
                if not tenant.memories:
                    del self._tenants[gone.user_id]
