"""The graph as bytes, for its files: JSON that says what is there of which memories, and how entities are called.

{"stamp": [database id, graph id, truth id], "nodes": [[user, id, node], …], "names": [[user, type, key, name], …]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from persistence.graph.identity import Stamp
from persistence.graph.memory.tenant import Node, Note
from persistence.projection import Edge, Fragment, Mention

#: The version of what is written here.
FORMAT = 1
#: Memories, or entities, in one payload of a snapshot.
_CHUNK = 5_000

T = TypeVar("T")
#: An entity and its name: user, type, key, name.
Name = tuple[str, str, str, str]

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def to_bytes(notes: Sequence[Note] = (), names: Sequence[Name] = (), stamp: Stamp | None = None) -> bytes:
    """Return a payload; none where there is nothing to say."""
    said: dict[str, Any] = {
        "nodes": [[note.user_id, note.id, note.node and _node_columns(note.node)] for note in notes],
        "names": names,
        "stamp": stamp and [stamp.database_id, _text(stamp.graph_id), _text(stamp.truth_id)],
    }
    kept = {name: value for name, value in said.items() if value}
    return _encode(kept).encode("utf-8", "surrogatepass") if kept else b""


def chunks(notes: Iterable[Note], names: Iterable[Name], stamp: Stamp) -> Iterator[bytes]:
    """Return a whole graph as payloads. Names come last: they are those of the newest writers."""
    yield to_bytes(stamp=stamp)
    for some in _pages(notes):
        yield to_bytes(some)
    for few in _pages(names):
        yield to_bytes(names=few)


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while page := list(islice(source, _CHUNK)):
        yield page


def from_bytes(payload: bytes) -> tuple[list[Note], list[Name], Stamp | None]:
    """Return what a payload says."""
    said = json.loads(payload.decode("utf-8", "surrogatepass"))
    notes = [Note(user, name, node and _node(user, name, node)) for user, name, node in said.get("nodes", ())]
    return notes, [tuple(name) for name in said.get("names", ())], _stamp(said.get("stamp"))


def _stamp(columns: list[Any] | None) -> Stamp | None:
    if columns is None:
        return None
    database_id, graph_id, truth_id = columns
    return Stamp(database_id, graph_id and UUID(graph_id), truth_id and UUID(truth_id))


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _node_columns(node: Node) -> list[Any]:
    created_at = None if node.created_at is None else node.created_at.isoformat()
    fragment = None if node.fragment is None else _fragment_columns(node.fragment)
    return [node.version, node.bucket, created_at, node.generation, fragment]


def _fragment_columns(fragment: Fragment) -> list[Any]:
    mentions = [[m.type, m.key, m.name, dict(m.properties)] for m in fragment.mentions]
    edges = [[e.source, e.type, e.target, dict(e.properties)] for e in fragment.edges]
    return [fragment.caption, fragment.agent_id, fragment.run_id, mentions, edges, fragment.digest]


def _node(user_id: str, memory_id: str, columns: list[Any]) -> Node:
    version, bucket, created_at, generation, said = columns
    fragment = None if said is None else _fragment(user_id, memory_id, bucket, said)
    moment = None if created_at is None else datetime.fromisoformat(created_at)
    return Node(version, bucket, moment, fragment, generation)


def _fragment(user_id: str, memory_id: str, bucket: int, columns: list[Any]) -> Fragment:
    caption, agent_id, run_id, said_mentions, said_edges, digest = columns
    mentions = tuple(Mention(*mention) for mention in said_mentions)
    edges = tuple(Edge(*edge) for edge in said_edges)
    return Fragment(user_id, memory_id, caption, agent_id, run_id, mentions, edges, digest, bucket)
