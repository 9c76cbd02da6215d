"""A tenant's graph to look at: its nodes, its edges, what lies around one node, a part of the whole. All in pages.

What the graph holds of a memory is shown only where truth has that memory, so nothing deleted or foreign shows. Nodes
that are listed are the graph's own: an entity whose last memory was just deleted shows until the graph has followed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from api.shapes import edge_json, node_json
from persistence.assembly import Parts
from persistence.filters import Filter
from persistence.ports.graph import GraphEdge, GraphEntity, GraphMemory
from persistence.ports.outbox import Key
from persistence.retry import Deadline
from persistence.service import AsyncPersistenceService

#: Memories whose graph is read at once; each has up to 6,000 mentions and relationships.
BATCH = 25
#: Memories that one call walks over at most, where few of them have what is looked for.
MOST_WALKED = 5_000

#: An entity within its tenant: (type, key).
End = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of edges ends: at a memory, behind so many of its edges."""

    memory_id: str
    edges: int


@dataclass(frozen=True, slots=True)
class EdgePage:
    """Relationships in the order of their memories. ``next`` None: there are no more."""

    edges: tuple[GraphEdge, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Mention:
    """A memory that mentions an entity."""

    memory_id: str
    entity: End


@dataclass(slots=True)
class Subgraph:
    """A part of a graph: entities, the relationships between them, and which memories mention them.

    ``most_nodes`` is for the entities, ``most_edges`` for mentions and relationships together. ``truncated``: there is
    more than fits.
    """

    most_nodes: int
    most_edges: int
    nodes: dict[End, GraphEntity] = field(default_factory=dict)
    mentions: list[Mention] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    truncated: bool = False

    @property
    def room(self) -> int:
        """The edges that may still be added."""
        return self.most_edges - len(self.mentions) - len(self.edges)

    def take(self, memory: GraphMemory) -> None:
        """Add what one memory states, as far as there is room for it."""
        for entity in memory.entities:
            self._mention(memory.id, entity)
        for edge in memory.edges:
            if self.room > 0 and edge.source in self.nodes and edge.target in self.nodes:
                self.edges.append(edge)
            else:
                self.truncated = True

    def _mention(self, memory_id: str, entity: GraphEntity) -> None:
        end = (entity.type, entity.key)
        if self.room > 0 and (end in self.nodes or len(self.nodes) < self.most_nodes):
            self.nodes.setdefault(end, replace(entity, properties={}))
            self.mentions.append(Mention(memory_id, end))
        else:
            self.truncated = True


class GraphView:
    """Looks at the graph of one tenant within a deadline. All raise GraphStoreError, VectorStoreError."""

    def __init__(self, memories: AsyncPersistenceService, user_id: str, *, seconds: float | None = None) -> None:
        self._parts: Parts = memories.parts
        self._user_id = user_id
        self._deadline = Deadline(self._parts.config.write_timeout if seconds is None else seconds)

    async def nodes(self, after: End | None, limit: int) -> list[GraphEntity]:
        """List entities in the order of (type, key), from beyond ``after``."""
        await self._follow()
        user_id = self._user_id
        return await self._parts.graph.ask(
            lambda graph: graph.entities(user_id, after=after, limit=limit), self._deadline
        )

    async def edges(self, after: Place | None, limit: int) -> EdgePage:
        """List relationships in the order of their memories' ids, from beyond ``after``.

        A page may be short, or empty, though there are more: where many memories have none.
        """
        found: list[GraphEdge] = []
        place, walked = after, 0
        async with aclosing(self._walk(after.memory_id if after else None)) as batches:
            async for batch in batches:
                for memory in batch:
                    skipped = after.edges if after and after.memory_id == memory.id else 0
                    some = memory.edges[skipped : skipped + limit - len(found)]
                    found += some
                    place = Place(memory.id, skipped + len(some))
                    walked += 1
                    if len(found) == limit or walked == MOST_WALKED:
                        return EdgePage(tuple(found), place)
        return EdgePage(tuple(found), None)

    async def around_memory(self, memory_id: str, part: Subgraph) -> bool:
        """Add a memory with its entities and relationships; False where the graph has none of that id."""
        for memory in await self._read([memory_id]):
            part.take(memory)
            return True
        return False

    async def around_entity(self, entity: End, part: Subgraph) -> bool:
        """Add an entity with its relationships, the entities at their other ends, and who mentions it.

        False where the graph has no such entity.
        """
        await self._follow()
        user_id, most = self._user_id, part.most_edges + 1
        ids = await self._parts.graph.ask(lambda graph: graph.mentioning(user_id, entity, limit=most), self._deadline)
        for some in _batches(ids):
            for memory in await self._read(some):
                part.take(_touching(memory, entity))
            if part.room <= 0:
                part.truncated |= some[-1] != ids[-1]
                break
        return bool(part.nodes)

    async def whole(self, part: Subgraph) -> None:
        """Add a tenant's graph, memory by memory in the order of their ids, until no more fits."""
        walked = 0
        async with aclosing(self._walk(None)) as batches:
            async for batch in batches:
                for memory in batch:
                    if part.room <= 0 or len(part.nodes) >= part.most_nodes or walked >= MOST_WALKED:
                        part.truncated = True
                        return
                    part.take(memory)
                    walked += 1

    async def _walk(self, start: str | None) -> AsyncGenerator[Sequence[GraphMemory]]:
        """Yield what the graph holds of the tenant's memories, from ``start`` on, a batch at a time."""
        truth, user_id, after = self._parts.truth, self._user_id, start
        if start is not None:
            yield await self._read([start])
        page = lambda: truth.store.page(user_id, after=after, limit=BATCH, where=Filter())  # noqa: E731  # named for one line
        while memories := await truth.read(page, self._deadline):
            after = memories[-1].id
            yield await self._held([memory.id for memory in memories])

    async def _read(self, ids: Sequence[str]) -> list[GraphMemory]:
        """Return what the graph holds of memories that truth has."""
        keys = [Key(self._user_id, memory_id) for memory_id in ids]
        there = await self._parts.truth.read(lambda: self._parts.truth.store.read(keys), self._deadline)
        return await self._held([key.id for key in keys if key in there and there[key].memory is not None])

    async def _held(self, ids: Sequence[str]) -> list[GraphMemory]:
        """Return what the graph holds of memories, in the order of their ids."""
        await self._follow()
        keys = [Key(self._user_id, memory_id) for memory_id in ids]
        found = await self._parts.graph.ask(lambda graph: graph.read(keys), self._deadline)
        return [found[key] for key in keys if key in found and found[key].live]

    async def _follow(self) -> None:
        await self._parts.follower.follow(self._user_id, self._deadline)


def _touching(memory: GraphMemory, entity: End) -> GraphMemory:
    """Return a memory with only those relationships that touch an entity, and the entities at their ends."""
    edges = tuple(edge for edge in memory.edges if entity in (edge.source, edge.target))
    ends = {entity, *(end for edge in edges for end in (edge.source, edge.target))}
    return replace(memory, edges=edges, entities=tuple(_among(memory.entities, ends)))


def _among(entities: Iterable[GraphEntity], ends: set[End]) -> Iterable[GraphEntity]:
    return (entity for entity in entities if (entity.type, entity.key) in ends)


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + BATCH] for i in range(0, len(ids), BATCH))


def subgraph_json(part: Subgraph) -> dict[str, Any]:
    """Return a part of a graph."""
    mentions = [
        {"memory_id": one.memory_id, "entity": {"type": one.entity[0], "key": one.entity[1]}} for one in part.mentions
    ]
    return {
        "nodes": list(map(node_json, part.nodes.values())),
        "mentions": mentions,
        "edges": list(map(edge_json, part.edges)),
        "truncated": part.truncated,
    }
