"""Both copies of one memory side by side, with what differs marked. Pure functions, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api.dashboard.words import clock
from persistence.ports.graph import GraphMemory
from persistence.ports.vector import Truth
from persistence.projection import Fragment, canonical_text, project


class Mark(StrEnum):
    """How two copies of one thing compare."""

    SAME = "same"
    DIFFERS = "differs"
    TRUTH_ONLY = "only in truth"
    GRAPH_ONLY = "only in the graph"
    UNREAD = "not compared"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that both copies say; None: that copy does not say it."""

    label: str
    truth: str | None
    graph: str | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Copies:
    """``fields``: of the memory's node; ``entities`` and ``edges``: what the memory owns in the graph."""

    fields: tuple[Row, ...]
    entities: tuple[Row, ...]
    edges: tuple[Row, ...]

    @property
    def differing(self) -> int:
        """How many things differ; what was not compared does not."""
        rows = (*self.fields, *self.entities, *self.edges)
        return sum(row.mark not in {Mark.SAME, Mark.UNREAD} for row in rows)


End = tuple[str, str]
Stated = tuple[End, str, End, str]


def compare(truth: Truth | None, graph: GraphMemory | None, *, read: bool) -> Copies:
    """Compare; ``read`` False: the graph's copy could not be read, and nothing is said of it."""
    fragment = project(truth.memory) if truth and truth.memory else None
    gone = fragment is None and graph is None
    fields = tuple(_fields(truth, fragment, graph, read=read and not gone))
    return Copies(fields, tuple(_entities(fragment, graph, read=read)), tuple(_edges(fragment, graph, read=read)))


def _row(label: str, truth: str | None, graph: str | None, *, read: bool) -> Row:
    if not read:
        return Row(label, truth, None, Mark.UNREAD)
    if truth == graph:
        return Row(label, truth, graph, Mark.SAME)
    if graph is None:
        return Row(label, truth, graph, Mark.TRUTH_ONLY)
    return Row(label, truth, graph, Mark.GRAPH_ONLY if truth is None else Mark.DIFFERS)


def _fields(truth: Truth | None, fragment: Fragment | None, graph: GraphMemory | None, *, read: bool) -> Iterator[Row]:
    yield _row("state", _state(truth), _graph_state(graph), read=read)
    yield _row("version", _text(truth.version if truth else None), _text(graph.version if graph else None), read=read)
    if fragment is None and (graph is None or not graph.live):
        return
    memory = truth.memory if truth else None
    told: Mapping[str, Any] = {
        "digest": fragment.digest if fragment else None,
        "created": clock(memory.created_at) if memory else None,
        "agent": fragment.agent_id if fragment else None,
        "run": fragment.run_id if fragment else None,
        "caption": fragment.caption if fragment else None,
        "bucket": fragment.bucket if fragment else None,
    }
    there = _of_node(graph)
    for label, value in told.items():
        if value is not None or there.get(label) is not None:
            yield _row(label, _text(value), _text(there.get(label)), read=read)


def _of_node(graph: GraphMemory | None) -> Mapping[str, Any]:
    if graph is None:
        return {}
    return {
        "digest": graph.digest,
        "created": clock(graph.created_at) if graph.created_at else None,
        "agent": graph.agent_id,
        "run": graph.run_id,
        "caption": graph.caption,
        "bucket": graph.bucket,
    }


def _state(truth: Truth | None) -> str | None:
    if truth is None or truth.version is None:
        return None
    return "live" if truth.memory else "deleted"


def _graph_state(graph: GraphMemory | None) -> str | None:
    if graph is None:
        return None
    return "live" if graph.live else "deleted"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _entities(fragment: Fragment | None, graph: GraphMemory | None, *, read: bool) -> Iterator[Row]:
    """Compare mentions; the name on an entity's node is its newest writer's, so it is shown and not compared."""
    mentions = {(m.type, m.key): (m.name, canonical_text(m.properties)) for m in fragment.mentions} if fragment else {}
    there = {(e.type, e.key): (e.name, canonical_text(e.properties)) for e in graph.entities} if graph else {}
    for end in sorted(mentions.keys() | there.keys()):
        name = (mentions.get(end) or there[end])[0]
        said, says = (_with(name, side[end][1]) if end in side else None for side in (mentions, there))
        yield _row(end[0], said, says, read=read)


def _edges(fragment: Fragment | None, graph: GraphMemory | None, *, read: bool) -> Iterator[Row]:
    """Two edges with the same ends, type and properties are two."""
    truth, there = Counter(stated(fragment)), Counter(_drawn(graph))
    for edge in sorted(truth.keys() | there.keys()):
        (_, source), kind, (_, target), properties = edge
        text = _with(f"{source} → {target}", properties)
        said, says = (_times(text, side[edge]) for side in (truth, there))
        yield _row(kind, said, says, read=read)


def stated(fragment: Fragment | None) -> Iterable[Stated]:
    """Yield the relationships that truth states."""
    if fragment is None:
        return
    ends = [(m.type, m.key) for m in fragment.mentions]
    for edge in fragment.edges:
        yield ends[edge.source], edge.type, ends[edge.target], canonical_text(edge.properties)


def _drawn(graph: GraphMemory | None) -> Iterable[Stated]:
    if graph is not None:
        for edge in graph.edges:
            yield edge.source, edge.type, edge.target, canonical_text(edge.properties)


def _with(text: str, properties: str) -> str:
    return text if properties == "{}" else f"{text} {properties}"


def _times(text: str, count: int) -> str | None:
    if not count:
        return None
    return text if count == 1 else f"{count} times {text}"
