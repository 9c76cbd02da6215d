"""A walk from memories over shared entities and relationships within one tenant's graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from persistence.graph.memory.tenant import Ends, Tenant
from persistence.graph.ordering import FAN_OUT, FRONTIER
from persistence.ports.graph import GraphHit

VIA = 3


def related(tenant: Tenant, ids: Sequence[str], depth: int, limit: int) -> list[GraphHit]:
    """Return what is reached within ``depth``, nearest first, at most ``limit``."""
    found: list[GraphHit] = []
    seen = set(ids)
    frontier = _start(tenant, ids) if depth > 0 and limit > 0 else []
    visited = set(frontier)
    for distance in range(1, depth + 1):
        if not frontier or len(found) >= limit:
            break
        hits = _reach(tenant, frontier, distance, seen)[: limit - len(found)]
        found += hits
        seen.update(hit.memory_id for hit in hits)
        frontier = _step(tenant, frontier, visited)
        visited.update(frontier)
    return found


def mentioning(tenant: Tenant, entity: Ends, limit: int) -> list[str]:
    """Return memories that mention an entity, in the order of their ids."""
    hub = tenant.entities.get(entity)
    return sorted(islice(reversed(hub.mentions), FAN_OUT))[:limit] if hub else []


def _start(tenant: Tenant, ids: Iterable[str]) -> list[Ends]:
    nodes = [tenant.memories[memory_id] for memory_id in ids if memory_id in tenant.memories]
    ends = {(m.type, m.key) for node in nodes if node.fragment for m in node.fragment.mentions}
    return sorted(ends)[:FRONTIER]


def _reach(tenant: Tenant, frontier: Iterable[Ends], distance: int, seen: set[str]) -> list[GraphHit]:
    ways: dict[str, list[Ends]] = {}
    for end in frontier:
        for memory_id in islice(reversed(tenant.entities[end].mentions), FAN_OUT):
            if memory_id not in seen:
                ways.setdefault(memory_id, []).append(end)
    hits = [_hit(tenant, memory_id, distance, ends) for memory_id, ends in ways.items()]
    return sorted(hits, key=lambda hit: (-hit.shared, hit.memory_id))


def _hit(tenant: Tenant, memory_id: str, distance: int, ends: Sequence[Ends]) -> GraphHit:
    via = tuple((end[0], tenant.entities[end].name) for end in ends[:VIA])
    return GraphHit(memory_id, distance, len(ends), via)


def _step(tenant: Tenant, frontier: Iterable[Ends], visited: set[Ends]) -> list[Ends]:
    ends = {other for end in frontier for other in islice(reversed(tenant.entities[end].links.values()), FAN_OUT)}
    return sorted(ends - visited)[:FRONTIER]
