"""From the server's rows to what the port answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from persistence.graph.identity import Stamp
from persistence.graph.ordering import by_ends, by_identity
from persistence.ports.graph import GraphAck, GraphEdge, GraphEntity, GraphHit, GraphMemory, Verdict


def acks(row: Sequence[Any], order: Sequence[int]) -> list[GraphAck]:
    """Put the verdicts on the rows into the order in which the writes were given."""
    found = sorted(zip(order, row[0], row[1], strict=True))
    return [GraphAck(Verdict(verdict), version) for _, verdict, version in found]


def memory(row: Sequence[Any]) -> GraphMemory:
    """Return what the graph holds of one memory."""
    user_id, memory_id, version, digest, bucket, caption, agent_id, run_id, created_at, entities, edges = row
    return GraphMemory(
        user_id=user_id,
        id=memory_id,
        version=version,
        digest=digest,
        bucket=bucket,
        live=digest is not None,
        caption=caption,
        agent_id=agent_id,
        run_id=run_id,
        created_at=created_at,
        entities=by_identity(GraphEntity(*entity) for entity in entities or ()),
        edges=by_ends(_edge(edge, memory_id) for edge in edges or ()),
    )


def _edge(edge: Sequence[Any], memory_id: str) -> GraphEdge:
    source_type, source, kind, target_type, target, properties = edge
    return GraphEdge((source_type, source), kind, (target_type, target), properties, memory_id)


def hit(row: Sequence[Any]) -> GraphHit:
    """Return one memory that a walk reached."""
    memory_id, distance, shared, via = row
    return GraphHit(memory_id, distance, shared, tuple((kind, name) for kind, name in via))


def stamp(row: Sequence[Any]) -> Stamp:
    """Return what the graph says of itself."""
    return Stamp(*row)
