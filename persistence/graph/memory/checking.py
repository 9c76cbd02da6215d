"""What a check, a repair and a rebuild ask of the graph in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from persistence.graph.memory.guarded import Guarded
from persistence.graph.memory.loose import cut, is_lone, is_torn, loose_ends, still_stray
from persistence.graph.memory.tenant import Node, Tenant
from persistence.ports.checking import (
    BucketSum,
    EntityPage,
    GraphHead,
    Head,
    OrphanEntity,
    Span,
    StrayEdge,
    summed,
)
from persistence.ports.outbox import Key
from persistence.projection import BUCKET_BITS

Tenants = Mapping[str, Tenant]


class Checking(Guarded):
    """What the port says of checks."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        return await self._run(lambda: _sums(self._chosen(user_id), span, BUCKET_BITS - bits))

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        return await self._run(lambda: [row for span in spans for _, row in _rows(self._chosen(user_id), span)])

    async def heads(self, keys: Sequence[Key]) -> dict[Key, GraphHead]:
        return await self._run(lambda: self._heads(keys), len(keys))

    async def torn(self, user_id: str | None, span: Span, *, limit: int) -> list[Key]:
        return await self._run(lambda: list(islice(_torn(self._chosen(user_id), span), limit)))

    async def loose_ends(self, user_id: str | None, *, after: tuple[str, str, str] | None, limit: int) -> EntityPage:
        return await self._run(lambda: loose_ends(self._chosen(user_id), after or ("", "", ""), limit))

    async def still_loose(
        self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]
    ) -> tuple[list[StrayEdge], list[OrphanEntity]]:
        return await self._run(lambda: self._still(edges, orphans), len(edges) + len(orphans))

    async def cut_loose(self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> int:
        return await self._run(lambda: self._cut(edges, orphans), len(edges) + len(orphans))

    async def unstamped(
        self, user_id: str | None, generation: int, *, after: Key | None, limit: int
    ) -> tuple[list[tuple[Key, GraphHead]], Key | None]:
        return await self._run(lambda: _unstamped(self._chosen(user_id), generation, after, limit))

    def _heads(self, keys: Sequence[Key]) -> dict[Key, GraphHead]:
        nodes = {key: self._tenant(key.user_id).memories.get(key.id) for key in keys}
        return {key: head(node) for key, node in nodes.items() if node is not None}

    def _still(
        self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]
    ) -> tuple[list[StrayEdge], list[OrphanEntity]]:
        lone = [o for o in orphans if is_lone(self._tenant(o.user_id), (o.type, o.key))]
        return [edge for edge in edges if still_stray(self._tenant(edge.user_id), edge)], lone

    def _cut(self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> int:
        loose, lone = self._still(edges, orphans)
        for edge in loose:
            cut(self._tenant(edge.user_id), edge)
        for orphan in lone:
            del self._tenant(orphan.user_id).entities[orphan.type, orphan.key]
        return len(loose) + len(lone)


def head(node: Node) -> GraphHead:
    """Return a memory's node without what it owns."""
    return GraphHead(node.version, node.fragment.digest if node.fragment else None, node.fragment is not None)


def _nodes(tenants: Tenants, span: Span) -> Iterator[tuple[Key, Node]]:
    for user_id, tenant in tenants.items():
        for memory_id, node in tenant.memories.items():
            if span.low <= node.bucket < span.high:
                yield Key(user_id, memory_id), node


def _rows(tenants: Tenants, span: Span) -> Iterator[tuple[int, Head]]:
    """Yield the live memories of a span, each with its bucket."""
    for key, node in _nodes(tenants, span):
        if node.fragment is not None:
            yield node.bucket, Head(*key, node.fragment.digest, node.version)


def _sums(tenants: Tenants, span: Span, shift: int) -> dict[int, BucketSum]:
    rows: dict[int, list[Head]] = {}
    for bucket, row in _rows(tenants, span):
        rows.setdefault(bucket >> shift, []).append(row)
    return {prefix: summed(same) for prefix, same in rows.items()}


def _torn(tenants: Tenants, span: Span) -> Iterator[Key]:
    return (key for key, node in _nodes(tenants, span) if is_torn(tenants[key.user_id], key.id, node))


def _unstamped(
    tenants: Tenants, generation: int, after: Key | None, limit: int
) -> tuple[list[tuple[Key, GraphHead]], Key | None]:
    keys = sorted(Key(user_id, memory_id) for user_id, tenant in tenants.items() for memory_id in tenant.memories)
    page = [key for key in keys if after is None or key > after][:limit]
    nodes = [(key, tenants[key.user_id].memories[key.id]) for key in page]
    found = [(key, head(node)) for key, node in nodes if node.fragment is not None and node.generation != generation]
    return found, page[-1] if len(page) == limit else None
