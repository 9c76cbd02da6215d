"""The orders in which every graph answers, and the bounds of a walk, so that all of them answer alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from persistence.errors import GraphStoreError
from persistence.ports.graph import GraphEdge, GraphEntity, GraphWrite
from persistence.ports.outbox import Key

#: Edges looked at per entity and step of a walk; a hub beyond it is walked through those that the store gives first.
FAN_OUT = 1_000
#: Entities from which one step of a walk goes on, the first in the order of (type, key).
FRONTIER = 5_000


def by_identity(entities: Iterable[GraphEntity]) -> tuple[GraphEntity, ...]:
    """Sort a memory's entities."""
    return tuple(sorted(entities, key=lambda entity: _text(entity.type, entity.key)))


def by_ends(edges: Iterable[GraphEdge]) -> tuple[GraphEdge, ...]:
    """Sort a memory's relationships."""
    return tuple(sorted(edges, key=_edge_key))


def _edge_key(edge: GraphEdge) -> tuple[tuple[str, ...], str, tuple[str, ...], str]:
    stated = json.dumps(dict(edge.properties), sort_keys=True, default=str)
    return _text(*edge.source), edge.type, _text(*edge.target), stated


def _text(*parts: str | None) -> tuple[str, ...]:
    """Return texts alone: a part is None where somebody has edited it, and where the entity is just being removed."""
    return tuple(part or "" for part in parts)


def key_of(write: GraphWrite) -> Key:
    """Return the identity of the memory that a write is about."""
    return Key(write.user_id, write.id)


def refuse_twins(writes: Sequence[GraphWrite]) -> None:
    """Refuse a batch that names a memory twice: which of the two is meant cannot be told. Raises GraphStoreError."""
    if len({key_of(write) for write in writes}) != len(writes):
        raise GraphStoreError("A batch of graph writes names a memory twice.")
