"""From writes to the parameters of ``apply_writes``, whose comment says what stands where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from persistence.graph.ordering import key_of
from persistence.ports.graph import GraphWrite
from persistence.postgres.arrays import BIGINTS, INTEGERS, JSONS, TEXTS, TIMESTAMPS, Array, numbers, texts
from persistence.projection import Fragment

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: -infinity, which stands for no time at all.
_NEVER = -(2**63)
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """``order``: for each row, the position of its write in what was given."""

    parameters: Mapping[str, Array]
    order: list[int]


@dataclass(slots=True)
class _Owned:
    """What the memories own, column by column; places are counted from 1, positions in a memory from 0."""

    m_rows: list[int] = field(default_factory=list)
    m_entities: list[int] = field(default_factory=list)
    m_names: list[str] = field(default_factory=list)
    m_properties: list[str] = field(default_factory=list)
    r_rows: list[int] = field(default_factory=list)
    r_positions: list[int] = field(default_factory=list)
    r_sources: list[int] = field(default_factory=list)
    r_types: list[str] = field(default_factory=list)
    r_targets: list[int] = field(default_factory=list)
    r_properties: list[str] = field(default_factory=list)

    def add(self, row: int, fragment: Fragment, places: Mapping[Identity, int]) -> None:
        """Add what one memory owns."""
        ends = [places[fragment.user_id, mention.type, mention.key] for mention in fragment.mentions]
        self.m_rows += [row] * len(ends)
        self.m_entities += ends
        self.m_names += [mention.name for mention in fragment.mentions]
        self.m_properties += [_json(mention.properties) for mention in fragment.mentions]
        self.r_rows += [row] * len(fragment.edges)
        self.r_positions += range(len(fragment.edges))
        self.r_sources += [ends[edge.source] for edge in fragment.edges]
        self.r_types += [edge.type for edge in fragment.edges]
        self.r_targets += [ends[edge.target] for edge in fragment.edges]
        self.r_properties += [_json(edge.properties) for edge in fragment.edges]

    def packed(self) -> dict[str, Array]:
        """Return the parameters."""
        counted = ("m_rows", "m_entities", "r_rows", "r_positions", "r_sources", "r_targets")
        return {
            **{name: numbers(INTEGERS, getattr(self, name)) for name in counted},
            **{name: texts(TEXTS, getattr(self, name)) for name in ("m_names", "r_types")},
            **{name: texts(JSONS, getattr(self, name)) for name in ("m_properties", "r_properties")},
        }


def batch(writes: Sequence[GraphWrite]) -> Batch:
    """Sort writes and the entities they mention into key order, the order in which all writers lock."""
    order = sorted(range(len(writes)), key=lambda i: key_of(writes[i]))
    ordered = [writes[i] for i in order]
    entities = sorted({(w.user_id, m.type, m.key) for w in ordered if w.fragment for m in w.fragment.mentions})
    places = {identity: place for place, identity in enumerate(entities, 1)}
    owned = _Owned()
    for row, write in enumerate(ordered, 1):
        if write.fragment is not None:
            owned.add(row, write.fragment, places)
    return Batch({**_heads(ordered), **_entities(entities), **owned.packed()}, order)


def _heads(writes: Sequence[GraphWrite]) -> dict[str, Array]:
    fragments = [write.fragment for write in writes]
    return {
        "user_ids": texts(TEXTS, [w.user_id for w in writes]),
        "ids": texts(TEXTS, [w.id for w in writes]),
        "versions": numbers(BIGINTS, [w.version for w in writes]),
        "digests": numbers(BIGINTS, [-1 if f is None else f.digest for f in fragments]),
        "buckets": numbers(INTEGERS, [w.bucket for w in writes]),
        "forced": numbers(INTEGERS, [w.force for w in writes]),
        "captions": texts(TEXTS, [f.caption if f else None for f in fragments]),
        "agent_ids": texts(TEXTS, [f.agent_id if f else None for f in fragments]),
        "run_ids": texts(TEXTS, [f.run_id if f else None for f in fragments]),
        "created": numbers(TIMESTAMPS, [_micros(w) for w in writes]),
        "generations": numbers(BIGINTS, [-1 if w.generation is None else w.generation for w in writes]),
        "mention_counts": numbers(INTEGERS, [len(f.mentions) if f else 0 for f in fragments]),
        "edge_counts": numbers(INTEGERS, [len(f.edges) if f else 0 for f in fragments]),
    }


def _entities(entities: Sequence[Identity]) -> dict[str, Array]:
    columns = list(zip(*entities, strict=True)) or [(), (), ()]
    names = ("entity_users", "entity_types", "entity_keys")
    return {name: texts(TEXTS, column) for name, column in zip(names, columns, strict=True)}


def _micros(write: GraphWrite) -> int:
    """Return microseconds since 2000, as Postgres keeps times."""
    if write.created_at is None or write.fragment is None:
        return _NEVER
    return (write.created_at - _EPOCH) // _MICROSECOND


def _json(properties: Mapping[str, Any]) -> str:
    return _encode(dict(properties)) if properties else "{}"
