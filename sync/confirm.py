"""Tells drift from what is merely under way.

A suspect is drift only if truth and its outbox say so, then the graph, then truth again, with truth unchanged and no
entry in the outbox (design section 7). In this order no write that is under way looks like drift: a write lists its
memory in the outbox before the graph has it, and takes the entry out after; whatever began in between changed truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from persistence.ports.checking import EntityPage, OrphanEntity, Standing, StrayEdge
from persistence.ports.graph import GraphMemory
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind
from persistence.ports.vector import Truth
from sync.compare import classify, differences, found, head_of, visible
from sync.pair import Pair

#: Memories that are looked at together.
TOGETHER = 1_000


async def confirm(pair: Pair, keys: Sequence[Key]) -> list[Inconsistency]:
    """Return the drift among suspects of a quick scan."""
    before = await _unlisted(pair, keys)
    heads = await pair.graph(lambda store: store.heads(list(before)))
    after = await pair.truth(lambda store: store.standings(list(before)))
    kinds = {key: classify(after[key], heads.get(key)) for key in before if after[key] == before[key]}
    return [found(key, kind, after[key], heads.get(key), Depth.QUICK) for key, kind in kinds.items() if kind]


async def confirm_closely(
    pair: Pair, keys: Sequence[Key], depth: Depth, *, scanned: bool = True
) -> list[Inconsistency]:
    """Return the drift among suspects whose edges (and at depth FULL whose properties) are to be compared.

    ``scanned``: a quick scan went before, which has reported what sums of versions and digests show.
    """
    before = await _unlisted(pair, keys)
    memories = await pair.truth(lambda store: store.read(list(before)))
    copies = await pair.graph(lambda store: store.read(list(before), locked=True))
    after = await pair.truth(lambda store: store.standings(list(before)))
    still = {key: after[key] for key in before if after[key] == before[key]}
    return await asyncio.to_thread(lambda: list(_compared(still, memories, copies, depth, scanned=scanned)))


def _compared(
    standings: Mapping[Key, Standing],
    memories: Mapping[Key, Truth],
    copies: Mapping[Key, GraphMemory],
    depth: Depth,
    *,
    scanned: bool,
) -> Iterator[Inconsistency]:
    for key, standing in standings.items():
        copy, truth = copies.get(key), memories.get(key, Truth())
        if truth.version != standing.version:
            continue  # written between two reads of truth
        head = head_of(copy)
        kind = classify(standing, head)
        shown = visible(standing, head)
        if kind and not (scanned and shown):
            yield found(key, kind, standing, head, Depth.QUICK if shown else depth)
        elif not kind and copy is not None:
            yield from differences(truth.memory, copy, depth, strays=not scanned)


async def confirm_loose(pair: Pair, page: EntityPage) -> tuple[list[StrayEdge], list[OrphanEntity]]:
    """Return the relationships and entities that belong to nobody, those of memories that are under way left out."""
    owners = list(dict.fromkeys(Key(edge.user_id, edge.memory_id) for edge in page.edges))
    before = await _unlisted(pair, owners)
    edges = [edge for edge in page.edges if Key(edge.user_id, edge.memory_id) in before]
    if not edges and not page.orphans:
        return [], []
    still, orphans = await pair.graph(lambda store: store.still_loose(edges, page.orphans))
    after = await pair.truth(lambda store: store.standings(list(before)))
    return [edge for edge in still if after[key := Key(edge.user_id, edge.memory_id)] == before[key]], orphans


def loose(edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> list[Inconsistency]:
    """Return the records of loose ends; several edges in one memory's name are one inconsistency."""
    owners: dict[Key, int] = {}
    for edge in edges:
        key = Key(edge.user_id, edge.memory_id)
        owners[key] = owners.get(key, 0) + 1
    kind, depth = Kind.EDGE_UNEXPECTED, Depth.STRUCTURE
    return [
        *(Inconsistency(*key, kind, depth, reason=f"{number} in its name") for key, number in owners.items()),
        *(Inconsistency(o.user_id, None, Kind.ORPHAN_ENTITY, depth, entity=(o.type, o.key)) for o in orphans),
    ]


async def _unlisted(pair: Pair, keys: Sequence[Key]) -> dict[Key, Standing]:
    """Return how those stand that are not in the outbox: all others may lawfully differ."""
    standings = await pair.truth(lambda store: store.standings(keys))
    return {key: standing for key, standing in standings.items() if not standing.pending}
