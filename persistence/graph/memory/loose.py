"""What does not belong together in a graph in memory. Only a mistake of ours can make it, so it is looked for alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from persistence.graph.memory.tenant import Ends, Node, Tenant
from persistence.ports.checking import EntityPage, OrphanEntity, StrayEdge

#: One end of an edge, as an entity holds it: the memory, and the relationship's position there (None: a mention).
Side = tuple[str, int | None]


def is_torn(tenant: Tenant, memory_id: str, node: Node) -> bool:
    """Say whether something that a memory owns is not at the entities."""
    owned = _owned(memory_id, node)
    return any(_there(tenant, end, side) != other for (end, side), other in owned.items())


def loose_ends(tenants: Mapping[str, Tenant], after: tuple[str, str, str], limit: int) -> EntityPage:
    """Look at entities in the order of (user_id, type, key), from beyond ``after``."""
    every = ((user_id, *end) for user_id, tenant in tenants.items() for end in tenant.entities)
    page = sorted(entity for entity in every if entity > after)[:limit]
    placed = [(user_id, (kind, key)) for user_id, kind, key in page]
    edges = [edge for user_id, end in placed for edge in _strays(user_id, tenants[user_id], end)]
    lone = [(user_id, end) for user_id, end in placed if is_lone(tenants[user_id], end)]
    orphans = [OrphanEntity(json.dumps(end), user_id, *end) for user_id, end in lone]
    return EntityPage(len(page), tuple(edges), tuple(orphans), page[-1] if len(page) == limit else None)


def is_lone(tenant: Tenant, end: Ends) -> bool:
    """Say whether an entity is there and has no edge."""
    hub = tenant.entities.get(end)
    return hub is not None and not hub.mentions and not hub.links


def still_stray(tenant: Tenant, edge: StrayEdge) -> bool:
    """Say whether an edge is there and its memory does not own it."""
    end, side = _parsed(edge.handle)
    return _there(tenant, end, side) is not None and _is_stray(tenant, end, side)


def cut(tenant: Tenant, edge: StrayEdge) -> None:
    """Remove an edge from the entity that holds it, and that entity if it was the last one."""
    end, (memory_id, position) = _parsed(edge.handle)
    hub = tenant.entities[end]
    if position is None:
        del hub.mentions[memory_id]
    else:
        del hub.links[memory_id, position]
    if is_lone(tenant, end):
        del tenant.entities[end]


def _strays(user_id: str, tenant: Tenant, end: Ends) -> Iterator[StrayEdge]:
    hub = tenant.entities[end]
    sides: list[Side] = [*((memory_id, None) for memory_id in hub.mentions), *hub.links]
    for memory_id, position in sides:
        if _is_stray(tenant, end, (memory_id, position)):
            handle = json.dumps([*end, memory_id, position])
            yield StrayEdge(handle, user_id, memory_id, "MENTIONS" if position is None else "")


def _is_stray(tenant: Tenant, end: Ends, side: Side) -> bool:
    node = tenant.memories.get(side[0])
    owned = _owned(side[0], node) if node else {}
    return owned.get((end, side)) != _there(tenant, end, side)


def _owned(memory_id: str, node: Node) -> dict[tuple[Ends, Side], Ends]:
    """Return what a memory has at which entities, and where it leads: a mention to the entity itself."""
    if node.fragment is None:
        return {}
    ends = [(mention.type, mention.key) for mention in node.fragment.mentions]
    owned: dict[tuple[Ends, Side], Ends] = {(end, (memory_id, None)): end for end in ends}
    for position, edge in enumerate(node.fragment.edges):
        source, target = ends[edge.source], ends[edge.target]
        owned[source, (memory_id, position)] = target
        owned[target, (memory_id, position)] = source
    return owned


def _there(tenant: Tenant, end: Ends, side: Side) -> Ends | None:
    """Return where a side leads, None where it is not there."""
    hub = tenant.entities.get(end)
    if hub is None:
        return None
    memory_id, position = side
    if position is None:
        return end if memory_id in hub.mentions else None
    return hub.links.get((memory_id, position))


def _parsed(handle: str) -> tuple[Ends, Side]:
    kind, key, memory_id, position = json.loads(handle)
    return (kind, key), (memory_id, position)
