"""What a graph makes of a count that was stopped one above its bound."""

from __future__ import annotations

from persistence.ports.graph import GraphCounts


def bounded(memories: int, tombstones: int, entities: int, bound: int, nodes: int = 0) -> GraphCounts:
    """Return what was counted up to one above the bound; ``nodes``: memories and tombstones by the store's statistics.

    Where there are more, the statistics are shared out as what was counted is.
    """
    counted = memories + tombstones
    there = entities if entities <= bound else None
    if counted <= bound:
        return GraphCounts(memories, tombstones, there)
    about = max(bound, nodes)
    live = about * memories // counted
    return GraphCounts(live, about - live, there, exact=False)
