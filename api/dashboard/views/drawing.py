"""The neighbourhood of a memory as a drawing: where its nodes stand and what joins them. Geometry only, no I/O.

The memory stands in the middle, what it mentions around it, and outside those the memories that mention the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from api.dashboard.views.copies import End, Mark, stated
from persistence.ports.graph import GraphMemory
from persistence.projection import Fragment
from persistence.records import normalise
from persistence.results import SearchHit

T = TypeVar("T")

WIDTH, HEIGHT = 760, 440
#: Entities and relationships that are drawn; all of them are in the list beside the drawing.
ENTITIES, EDGES = 16, 24
_MIDDLE = (WIDTH / 2, HEIGHT / 2)
_INNER, _OUTER = (190.0, 120.0), (318.0, 196.0)
#: The share of a turn by which memories at one entity stand apart.
_FAN = 0.055
#: How far a relationship's curve bends, how far one reaches that leads back to where it begins, and a circle's edge.
_BEND, _LOOP, _RADIUS = 56.0, 64.0, 12.0


@dataclass(frozen=True, slots=True)
class Node:
    """A circle with a name. ``below``: its name stands under it, else over it."""

    x: float
    y: float
    name: str
    kind: str
    mark: Mark
    below: bool
    memory_id: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two nodes; ``label`` None: a mention."""

    x1: float
    y1: float
    x2: float
    y2: float
    mark: Mark
    label: str | None = None

    @property
    def bend(self) -> tuple[float, float]:
        """The point that a relationship's curve is drawn to: away from the memory, which is no part of it."""
        x, y = (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2
        if (self.x1, self.y1) == (self.x2, self.y2):
            return x, y - _LOOP
        across, up = self.y1 - self.y2, self.x2 - self.x1
        length = math.hypot(across, up)
        outwards = (x - _MIDDLE[0]) * across + (y - _MIDDLE[1]) * up >= 0
        far = _BEND if outwards else -_BEND
        return round(x + across / length * far, 1), round(y + up / length * far, 1)

    @property
    def path(self) -> str:
        """The curve, which ends at the edge of its target's circle."""
        x, y = self.bend
        if (self.x1, self.y1) == (self.x2, self.y2):
            left, right, top = x - _LOOP / 2, x + _LOOP / 2, self.y1 - _RADIUS
            return f"M{x - 4},{top}C{left},{y} {right},{y} {x + 4},{top}"
        length = math.hypot(self.x2 - x, self.y2 - y)
        end_x = round(self.x2 - (self.x2 - x) / length * _RADIUS, 1)
        end_y = round(self.y2 - (self.y2 - y) / length * _RADIUS, 1)
        return f"M{self.x1},{self.y1}Q{x},{y} {end_x},{end_y}"

    @property
    def middle(self) -> tuple[float, float]:
        """Where a label stands."""
        x, y = self.bend
        return round((self.x1 + self.x2 + 2 * x) / 4, 1), round((self.y1 + self.y2 + 2 * y) / 4, 1)


@dataclass(frozen=True, slots=True)
class Drawing:
    """``left_out``: entities and relationships that there was no room for."""

    memory: Node
    entities: tuple[Node, ...]
    related: tuple[Node, ...]
    lines: tuple[Line, ...]
    left_out: int


def draw(
    memory_id: str, fragment: Fragment | None, graph: GraphMemory | None, related: Sequence[SearchHit], *, read: bool
) -> Drawing:
    """Draw what truth says and what the graph has, together."""
    names, marks = _entities(fragment, graph, read=read)
    ends = sorted(names)[:ENTITIES]
    angles = {end: (at + 0.5) / max(len(ends), 1) for at, end in enumerate(ends)}
    nodes = {end: _node(angles[end], _INNER, names[end], end[0], marks[end]) for end in ends}
    middle = Node(*_MIDDLE, memory_id, "memory", Mark.SAME, below=True)
    mentions = [_line(middle, node, node.mark) for node in nodes.values()]
    edges = _edges(fragment, graph, read=read)
    drawn = [_line(nodes[s], nodes[t], mark, kind) for (s, kind, t), mark in edges.items() if {s, t} <= nodes.keys()]
    around, joints = _related(related, nodes, angles)
    left_out = len(names) - len(ends) + len(edges) - len(drawn[:EDGES])
    return Drawing(middle, tuple(nodes.values()), around, (*mentions, *drawn[:EDGES], *joints), left_out)


def _entities(
    fragment: Fragment | None, graph: GraphMemory | None, *, read: bool
) -> tuple[dict[End, str], dict[End, Mark]]:
    truth = {(m.type, m.key): m.name for m in fragment.mentions} if fragment else {}
    there = {(e.type, e.key): e.name for e in graph.entities} if graph else {}
    return {**there, **truth}, _marks(truth, there, read=read)


def _edges(fragment: Fragment | None, graph: GraphMemory | None, *, read: bool) -> dict[tuple[End, str, End], Mark]:
    truth = [edge[:3] for edge in stated(fragment)]
    there = [(edge.source, edge.type, edge.target) for edge in graph.edges] if graph else []
    return _marks(truth, there, read=read)


def _marks(truth: Iterable[T], there: Iterable[T], *, read: bool) -> dict[T, Mark]:
    one, other = set(truth), set(there)
    return {item: _mark(item in one, item in other, read=read) for item in [*one, *(other - one)]}


def _mark(truth: bool, graph: bool, *, read: bool) -> Mark:  # noqa: FBT001  # two of a kind, told apart by their order
    if not read:
        return Mark.UNREAD
    if truth and graph:
        return Mark.SAME
    return Mark.TRUTH_ONLY if truth else Mark.GRAPH_ONLY


def _node(
    angle: float, radii: tuple[float, float], name: str, kind: str, mark: Mark, memory_id: str | None = None
) -> Node:
    turn = (angle - 0.25) * math.tau
    x, y = _MIDDLE[0] + radii[0] * math.cos(turn), _MIDDLE[1] + radii[1] * math.sin(turn)
    return Node(round(x, 1), round(y, 1), name, kind, mark, y >= _MIDDLE[1], memory_id)


def _line(source: Node, target: Node, mark: Mark, label: str | None = None) -> Line:
    return Line(source.x, source.y, target.x, target.y, mark, label)


def _related(
    hits: Sequence[SearchHit], nodes: Mapping[End, Node], angles: Mapping[End, float]
) -> tuple[tuple[Node, ...], list[Line]]:
    """Put each memory beyond the first entity by which it is reached."""
    found: list[Node] = []
    joints: list[Line] = []
    beside: dict[End, int] = {}
    for hit in hits:
        end = next((e for link in hit.via if (e := (link.type, normalise(link.entity))) in nodes), None)
        if end is not None:
            at = beside[end] = beside.get(end, 0) + 1
            apart = _FAN * (at // 2) * (1 if at % 2 else -1)
            node = _node(angles[end] + apart, _OUTER, hit.memory.id, "memory", Mark.SAME, hit.memory.id)
            found.append(node)
            joints.append(_line(nodes[end], node, Mark.SAME))
    return tuple(found), joints
