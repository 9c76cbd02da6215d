"""From a memory to what it owns in the graph: pure functions, no I/O.

The fragment and its digest depend on what the memory says, not on the order in which it says it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from persistence.records import Entity, Relationship, normalise

CAPTION = 120
BUCKET_BITS = 24
EXACT = 2**53


class Projectable(Protocol):
    """What of a memory shows in the graph."""

    @property
    def id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def content(self) -> str: ...
    @property
    def entities(self) -> tuple[Entity, ...]: ...
    @property
    def relationships(self) -> tuple[Relationship, ...]: ...


class Mention(NamedTuple):
    """An entity the memory speaks of: the node's identity and name, and what lies on the edge to it."""

    type: str
    key: str
    name: str
    properties: Mapping[str, Any]


class Edge(NamedTuple):
    """A relationship the memory states; ``source`` and ``target`` are positions in the fragment's mentions."""

    source: int
    type: str
    target: int
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fragment:
    """The nodes and edges that one memory owns; mentions in the order of (type, key)."""

    user_id: str
    id: str
    caption: str
    agent_id: str | None
    run_id: str | None
    mentions: tuple[Mention, ...]
    edges: tuple[Edge, ...]
    digest: int
    bucket: int


def project(memory: Projectable) -> Fragment:
    """Return the fragment of a memory whose relationship ends are known to be entities of it."""
    mentions = _mentions(memory.entities)
    edges = _edges(memory.relationships, mentions)
    shown = (memory.user_id, memory.id, caption(memory.content), memory.agent_id, memory.run_id)
    return Fragment(*shown, mentions, edges, digest(*shown, mentions, edges), bucket(memory.user_id, memory.id))


def caption(content: str) -> str:
    """Return the first line that is not blank, spaces collapsed, at most 120 characters."""
    head, *_ = content.lstrip()[: CAPTION * 8].splitlines() or [""]
    head = " ".join(head.split())
    return head if len(head) <= CAPTION else f"{head[: CAPTION - 1]}…"


def bucket(user_id: str, memory_id: str) -> int:
    """Return the first 24 bits of blake2b of the identity, ``0 <= bucket < 2**24``."""
    identity = f"{user_id}\0{memory_id}".encode()  # neither holds a NUL
    return int.from_bytes(blake2b(identity, digest_size=BUCKET_BITS // 8).digest())


def digest(
    user_id: str,
    memory_id: str,
    shown: str,
    agent_id: str | None,
    run_id: str | None,
    mentions: Iterable[Mention],
    edges: Iterable[Edge],
) -> int:
    """Return 63 bits of blake2b of the identity and the canonical fragment, ``0 <= digest < 2**63``.

    Left out: the version, the time of creation, and the entities' display names, which are the newest writer's.
    """
    value = [
        user_id,
        memory_id,
        shown,
        agent_id,
        run_id,
        [[m.type, m.key, _canonical_properties(m.properties)] for m in mentions],
        [[e.source, e.type, e.target, _canonical_properties(e.properties)] for e in edges],
    ]
    return int.from_bytes(blake2b(_canonical(value), digest_size=8).digest()) >> 1


def _mentions(entities: Iterable[Entity]) -> tuple[Mention, ...]:
    """Merge entities of one identity; where two say different things of a property, the canonically last one stays."""
    merged: dict[tuple[str, str], list[Entity]] = {}
    for entity in entities:
        merged.setdefault((entity.type, normalise(entity.name)), []).append(entity)
    return tuple(_mention(kind, key, same) for (kind, key), same in sorted(merged.items(), key=itemgetter(0)))


def _mention(kind: str, key: str, same: list[Entity]) -> Mention:
    if len(same) == 1:
        return Mention(kind, key, same[0].name, _present(same[0].properties))
    same.sort(key=lambda e: (_canonical(_canonical_properties(e.properties)), e.name))
    properties: dict[str, Any] = {}
    for entity in same:
        properties.update(_present(entity.properties))
    return Mention(kind, key, min(e.name for e in same), properties)


def _edges(relationships: Iterable[Relationship], mentions: tuple[Mention, ...]) -> tuple[Edge, ...]:
    """Turn names into positions; a statement made twice is one edge, two different ones are two."""
    if not relationships:
        return ()
    position = {(m.type, m.key): i for i, m in enumerate(mentions)}
    by_key = {m.key: i for i, m in enumerate(mentions)}
    stated: dict[tuple[int, str, int], list[Edge]] = {}
    for r in relationships:
        source = _position(position, by_key, r.source, r.source_type)
        target = _position(position, by_key, r.target, r.target_type)
        stated.setdefault((source, r.type, target), []).append(Edge(source, r.type, target, _present(r.properties)))
    return tuple(edge for _, same in sorted(stated.items(), key=itemgetter(0)) for edge in _distinct(same))


def _distinct(same: list[Edge]) -> Iterable[Edge]:
    """Tell edges of one type and the same ends apart by what they say."""
    if len(same) == 1:
        return same
    by_content = {_canonical(_canonical_properties(edge.properties)): edge for edge in same}
    return [edge for _, edge in sorted(by_content.items())]


def _position(position: dict[tuple[str, str], int], by_key: dict[str, int], name: str, kind: str | None) -> int:
    key = normalise(name)
    return by_key[key] if kind is None else position[kind, key]


def _present(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nulls: in a graph a null property is an absent one."""
    return {key: value for key, value in properties.items() if value is not None} if properties else {}


def canonical_text(properties: Mapping[str, Any]) -> str:
    """Return one text for all properties that mean the same; also for what somebody else put into a graph."""
    return _any_json.encode(_canonical_properties(properties))


def _canonical_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """One form per value: JSON stores do not keep 1.0 and 1 apart, nor -0.0 and 0, nor 1e23 and its digits."""
    if not properties:
        return {}
    return {
        key: value if type(value) is str else _canonical_value(value)
        for key, value in properties.items()
        if value is not None
    }


def _canonical_value(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        # The integer that its shortest notation spells, which is what a JSON store gives back.
        return int(value) if -EXACT < value < EXACT else int(Decimal(repr(value)))
    if isinstance(value, (list, tuple)):
        return [_canonical_value(item) for item in value]
    return value


_json = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
_any_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)


def _canonical(value: Any) -> bytes:
    return _json.encode(value).encode()
