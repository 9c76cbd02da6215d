"""From the server's records to what the port answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from neo4j import Record

from persistence.graph.identity import Stamp
from persistence.graph.ordering import by_ends, by_identity
from persistence.ports.graph import GraphAck, GraphEdge, GraphEntity, GraphHit, GraphMemory, Verdict

OWN = frozenset({"user_id", "memory_id"})


def acks(record: Record, order: Sequence[int]) -> list[GraphAck]:
    """Put the verdicts on the rows into the order in which the writes were given."""
    answers: list[GraphAck | None] = [None] * len(order)
    for position, verdict, version in zip(order, record["verdicts"], record["versions"], strict=True):
        answers[position] = GraphAck(Verdict(verdict), version)
    return [answer for answer in answers if answer is not None]


def memory(record: Mapping[str, Any]) -> GraphMemory:
    """Return what the graph holds of one memory."""
    shown = {name: record[name] for name in ("version", "digest", "bucket", "live", "caption", "agent_id", "run_id")}
    return GraphMemory(
        user_id=record["user_id"],
        id=record["id"],
        **shown,
        created_at=datetime.fromisoformat(record["created"]) if record["created"] else None,
        entities=by_identity(GraphEntity(*entity) for entity in record["entities"]),
        edges=by_ends(_edge(edge, record["id"]) for edge in record["edges"]),
    )


def _edge(edge: Sequence[Any], memory_id: str) -> GraphEdge:
    source, kind, target, properties = edge
    stated = {name: value for name, value in properties.items() if name not in OWN}
    return GraphEdge(tuple(source), kind, tuple(target), stated, memory_id)


def hit(row: Sequence[Any], distance: int) -> GraphHit:
    """Return one memory that a walk reached."""
    memory_id, shared, via = row
    return GraphHit(memory_id, distance, shared, tuple((kind, name) for kind, name in via))


def stamp(record: Record) -> Stamp:
    """Return what the graph says of itself."""
    return Stamp(record["database_id"], _uuid(record["graph_id"]), _uuid(record["truth_id"]))


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
