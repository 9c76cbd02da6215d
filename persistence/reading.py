"""Reads: everything comes from truth, and what the graph suggests is looked up there before it is shown."""

from __future__ import annotations

from collections.abc import Sequence

from persistence.errors import GraphStoreError, MemoryNotFoundError
from persistence.filters import Filter, matches
from persistence.follower import Follower
from persistence.gates import GraphGate, TruthGate
from persistence.ports.graph import GraphHit, GraphMemory
from persistence.ports.outbox import Key
from persistence.records import Memory, Vector
from persistence.results import GraphLink, Page, SearchHit, SearchResult
from persistence.retry import Deadline

#: How many more memories than asked for the graph is asked for, since some may be gone or filtered out.
MARGIN = 3


class Reader:
    """Reads memories of one tenant at a time."""

    def __init__(self, truth: TruthGate, graph: GraphGate, follower: Follower) -> None:
        self._truth = truth
        self._graph = graph
        self._follower = follower

    async def get(self, key: Key, deadline: Deadline, *, embedding: bool = False) -> Memory | None:
        """Return one memory, None where this tenant has none of that id."""
        store = self._truth.store
        there = await self._truth.read(lambda: store.read([key], embeddings=embedding), deadline)
        return there[key].memory if key in there else None

    async def page(self, user_id: str, after: str | None, limit: int, where: Filter, deadline: Deadline) -> Page:
        """Return one page in the order of ids."""
        store = self._truth.store
        found = await self._truth.read(lambda: store.page(user_id, after=after, limit=limit + 1, where=where), deadline)
        memories = tuple(found[:limit])
        return Page(memories, memories[-1].id if len(found) > limit else None)

    async def search(
        self, user_id: str, vector: Vector, limit: int, where: Filter, expand: int, deadline: Deadline
    ) -> SearchResult:
        """Return the nearest memories, and behind them what the graph reaches from them in ``expand`` steps."""
        store = self._truth.store
        found = await self._truth.read(lambda: store.search(user_id, vector, limit=limit, where=where), deadline)
        hits = tuple(SearchHit(memory, score) for memory, score in found)
        if not expand or not hits:
            return SearchResult(hits)
        try:
            starts = [hit.memory.id for hit in hits]
            reached = await self.related(user_id, starts, expand, limit, where, deadline)
        except GraphStoreError as error:
            return SearchResult(hits, degraded=error.message)
        return SearchResult((*hits, *reached))

    async def related(
        self, user_id: str, ids: Sequence[str], depth: int, limit: int, where: Filter, deadline: Deadline
    ) -> tuple[SearchHit, ...]:
        """Return memories reached through the graph, nearest first. Raises GraphStoreError."""
        await self._follower.follow(user_id, deadline)
        found = await self._graph.ask(
            lambda graph: graph.related(user_id, ids, depth=depth, limit=limit * MARGIN), deadline
        )
        return await self._hydrate(user_id, found, limit, where, deadline)

    async def related_to(self, key: Key, depth: int, limit: int, deadline: Deadline) -> SearchResult:
        """Return what is related to one memory. Raises MemoryNotFoundError, GraphStoreError."""
        if await self.get(key, deadline) is None:
            raise MemoryNotFoundError
        return SearchResult(await self.related(key.user_id, [key.id], depth, limit, Filter(), deadline))

    async def neighbourhood(self, key: Key, deadline: Deadline) -> GraphMemory | None:
        """Return what the graph holds of a memory that truth has; None where either has nothing of it."""
        if await self.get(key, deadline) is None:
            return None
        await self._follower.follow(key.user_id, deadline)
        found = await self._graph.ask(lambda graph: graph.read([key]), deadline)
        memory = found.get(key)
        return memory if memory and memory.live else None

    async def _hydrate(
        self, user_id: str, found: Sequence[GraphHit], limit: int, where: Filter, deadline: Deadline
    ) -> tuple[SearchHit, ...]:
        keys = [Key(user_id, hit.memory_id) for hit in found]
        there = await self._truth.read(lambda: self._truth.store.read(keys), deadline) if keys else {}
        hits = []
        for hit, key in zip(found, keys, strict=True):
            memory = there[key].memory if key in there else None
            if memory and matches(where, memory.agent_id, memory.run_id, memory.metadata):
                via = tuple(GraphLink(entity=name, type=kind) for kind, name in hit.via)
                hits.append(SearchHit(memory, None, hit.distance, via))
        return tuple(hits[:limit])
