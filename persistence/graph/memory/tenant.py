"""One tenant's graph as plain Python objects. No locks, no clock, no I/O: who calls sees to that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from persistence.graph.ordering import by_ends, by_identity
from persistence.ports.graph import GraphAck, GraphEdge, GraphEntity, GraphMemory, GraphWrite, Verdict
from persistence.projection import Fragment

#: An entity's identity within its tenant: (type, key).
Ends = tuple[str, str]


@dataclass(slots=True)
class Node:
    """A memory, or (without a fragment) the tombstone of one."""

    version: int
    bucket: int
    created_at: datetime | None
    fragment: Fragment | None
    generation: int | None = None

    @property
    def size(self) -> int:
        """The memory, its mentions and its relationships together."""
        return 1 + len(self.fragment.mentions) + len(self.fragment.edges) if self.fragment else 1


class Note(NamedTuple):
    """What is there of a memory after a change, None where nothing is left."""

    user_id: str
    id: str
    node: Node | None


@dataclass(slots=True)
class Hub:
    """An entity: who mentions it, and where its relationships lead, each by the memory and its position there."""

    name: str
    mentions: dict[str, None] = field(default_factory=dict)
    links: dict[tuple[str, int], Ends] = field(default_factory=dict)


class Tenant:
    """The memories and entities of one tenant."""

    def __init__(self) -> None:
        self.memories: dict[str, Node] = {}
        self.entities: dict[Ends, Hub] = {}

    def apply(self, writes: Sequence[GraphWrite]) -> list[GraphAck]:
        """Judge every write, take away what the accepted ones owned, put in what they own now, sweep."""
        acks = [judge(self.memories.get(write.id), write) for write in writes]
        accepted = [w for w, ack in zip(writes, acks, strict=True) if ack.verdict is Verdict.APPLIED]
        left: set[Ends] = set()
        for write in accepted:
            left.update(self._remove(write.id))
        for write in sorted(accepted, key=lambda w: (w.version, w.id)):
            self._put(write.id, node_of(write))
        self._sweep(left)
        return acks

    def place(self, memory_id: str, node: Node | None) -> None:
        """Make a memory what it is said to be, without a judgement."""
        left = self._remove(memory_id)
        if node is None:
            self.memories.pop(memory_id, None)
        else:
            self._put(memory_id, node)
        self._sweep(left)

    def collect(self, memory_id: str, version: int) -> None:
        """Remove a tombstone that is still one, at no higher version."""
        if self.collectable(memory_id, version):
            del self.memories[memory_id]

    def collectable(self, memory_id: str, version: int) -> bool:
        """Say whether a memory is a tombstone, at no higher version."""
        node = self.memories.get(memory_id)
        return node is not None and node.fragment is None and node.version <= version

    def clear(self, limit: int) -> int:
        """Take away about ``limit`` of what is there; a live memory leaves a tombstone one version below its own."""
        cleared = self.cleared(limit)
        taken = sum(self.memories[memory_id].size for memory_id in cleared)
        for memory_id, node in cleared.items():
            self.place(memory_id, node)
        return taken or self._drop(limit)

    def cleared(self, limit: int) -> dict[str, Node]:
        """Return what ``clear`` leaves of which memories."""
        left: dict[str, Node] = {}
        taken = 0
        for memory_id, node in self.memories.items():
            if taken >= limit:
                break
            if node.fragment is not None:
                left[memory_id] = Node(node.version - 1, node.bucket, None, None)
                taken += node.size
        return left

    def read(self, user_id: str, memory_id: str) -> GraphMemory | None:
        """Return what is there of one memory."""
        node = self.memories.get(memory_id)
        if node is None:
            return None
        fragment = node.fragment
        return GraphMemory(
            user_id=user_id,
            id=memory_id,
            version=node.version,
            digest=fragment.digest if fragment else None,
            bucket=node.bucket,
            live=fragment is not None,
            caption=fragment.caption if fragment else None,
            agent_id=fragment.agent_id if fragment else None,
            run_id=fragment.run_id if fragment else None,
            created_at=node.created_at.astimezone(UTC) if node.created_at else None,
            entities=self._mentioned(memory_id, fragment),
            edges=self._stated(memory_id, fragment),
        )

    def _mentioned(self, memory_id: str, fragment: Fragment | None) -> tuple[GraphEntity, ...]:
        """Return the mentions that are at their entities, not those that the node alone remembers."""
        mentions = fragment.mentions if fragment else ()
        hubs = ((mention, self.entities.get((mention.type, mention.key))) for mention in mentions)
        return by_identity(
            GraphEntity(m.type, m.key, hub.name, dict(m.properties))
            for m, hub in hubs
            if hub and memory_id in hub.mentions
        )

    def _stated(self, memory_id: str, fragment: Fragment | None) -> tuple[GraphEdge, ...]:
        """Return the relationships that are at both of their ends."""
        if fragment is None:
            return ()
        ends = [(m.type, m.key) for m in fragment.mentions]
        edges = ((place, e, ends[e.source], ends[e.target]) for place, e in enumerate(fragment.edges))
        return by_ends(
            GraphEdge(source, e.type, target, dict(e.properties), fragment.id)
            for place, e, source, target in edges
            if self._leads(source, target, memory_id, place) and self._leads(target, source, memory_id, place)
        )

    def _leads(self, end: Ends, other: Ends, memory_id: str, position: int) -> bool:
        hub = self.entities.get(end)
        return hub is not None and hub.links.get((memory_id, position)) == other

    def _remove(self, memory_id: str) -> Iterable[Ends]:
        """Take away a memory's mentions and relationships; return the entities they were at."""
        node = self.memories.get(memory_id)
        if node is None or node.fragment is None:
            return []
        owned = [(m.type, m.key) for m in node.fragment.mentions]
        for hub in self._hubs(owned):
            hub.mentions.pop(memory_id, None)
        for position, edge in enumerate(node.fragment.edges):
            for hub in self._hubs((owned[edge.source], owned[edge.target])):
                hub.links.pop((memory_id, position), None)
        return owned

    def _hubs(self, ends: Iterable[Ends]) -> Iterator[Hub]:
        """Yield the entities that are there: one that lost its edges by a mistake may have been cut."""
        return (hub for end in ends if (hub := self.entities.get(end)) is not None)

    def _drop(self, limit: int) -> int:
        """Remove entities that no memory is left to mention."""
        dropped = list(self.entities)[:limit]
        for end in dropped:
            del self.entities[end]
        return len(dropped)

    def _put(self, memory_id: str, node: Node) -> None:
        fragment = node.fragment
        self.memories[memory_id] = node
        if fragment is None:
            return
        ends = [(m.type, m.key) for m in fragment.mentions]
        for mention, end in zip(fragment.mentions, ends, strict=True):
            hub = self.entities.setdefault(end, Hub(mention.name))
            hub.name = mention.name
            hub.mentions[memory_id] = None
        for position, edge in enumerate(fragment.edges):
            source, target = ends[edge.source], ends[edge.target]
            self.entities[source].links[memory_id, position] = target
            self.entities[target].links[memory_id, position] = source

    def _sweep(self, ends: Iterable[Ends]) -> None:
        for end in ends:
            hub = self.entities.get(end)
            if hub is not None and not hub.mentions and not hub.links:
                del self.entities[end]


def node_of(write: GraphWrite) -> Node:
    """Return what a write makes of its memory."""
    created_at = write.created_at if write.fragment else None
    return Node(write.version, write.bucket, created_at, write.fragment, write.generation)


def judge(node: Node | None, write: GraphWrite) -> GraphAck:
    """Say what becomes of a write where ``node`` is there: a live one accepts ``>=``, a tombstone only ``>``."""
    if node is None or node.version < write.version:
        return GraphAck(Verdict.APPLIED, write.version)
    resurrects = node.fragment is None and write.fragment is not None
    if node.version > write.version or resurrects:
        return GraphAck(Verdict.NEWER, node.version)
    if write.force or not _same(node.fragment, write.fragment):
        return GraphAck(Verdict.APPLIED, write.version)
    return GraphAck(Verdict.SAME, node.version)


def _same(there: Fragment | None, given: Fragment | None) -> bool:
    if there is None or given is None:
        return there is given
    return there.digest == given.digest
