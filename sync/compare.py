"""In what way a memory's copy in the graph is not what truth says: pure functions, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from persistence.ports.checking import GraphHead, Standing
from persistence.ports.graph import GraphMemory
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind
from persistence.projection import Fragment, canonical_text, project
from persistence.records import Memory

#: Differences that are spelled out in one reason.
SHOWN = 3


def classify(standing: Standing, head: GraphHead | None) -> Kind | None:
    """Compare what both sides say of one memory, edges and properties apart; None where they agree."""
    if not standing.live:
        return Kind.ORPHAN if head is not None and head.live else None
    if head is None:
        return Kind.MISSING
    version = standing.version or 0
    if head.version > version or (head.version == version and not head.live):
        return Kind.AHEAD
    if not head.live:
        return Kind.MISSING
    if head.version < version:
        return Kind.STALE
    return None if head.digest == standing.digest else Kind.CONTENT


def found(key: Key, kind: Kind, standing: Standing, head: GraphHead | None, depth: Depth) -> Inconsistency:
    """Return the record of what ``classify`` said."""
    version = head.version if head else None
    return Inconsistency(key.user_id, key.id, kind, depth, standing.version, version, reason=_REASONS.get(kind))


_REASONS = {
    Kind.CONTENT: "the digests differ at the same version",
    Kind.AHEAD: "the graph has a newer version than truth",
}


def visible(standing: Standing, head: GraphHead | None) -> bool:
    """Say whether a comparison of sums shows the difference: of versions and digests as they are written down."""
    there = (head.version, head.digest) if head is not None and head.digest is not None else None
    return there != ((standing.version, standing.digest) if standing.live else None)


def head_of(memory: GraphMemory | None) -> GraphHead | None:
    """Return a graph memory without what it holds."""
    return None if memory is None else GraphHead(memory.version, memory.digest, memory.live)


def differences(
    memory: Memory | None, copy: GraphMemory, depth: Depth, *, strays: bool = False
) -> Iterator[Inconsistency]:
    """Compare edges and properties of one memory at one version; ``memory`` None: it is deleted, and owns nothing.

    ``strays``: also relationships in its name that it does not state; a check of all entities finds those by itself.
    """
    fragment = project(memory) if memory is not None else None
    wanted, there = _ends(fragment), Counter((e.type, e.key) for e in copy.entities)
    wanted_edges, there_edges = _edges(fragment), Counter((e.source, e.type, e.target) for e in copy.edges)
    missing = [*(wanted - there).elements(), *(wanted_edges - there_edges).elements()]
    stray = list((there_edges - wanted_edges).elements())
    extra = [*(there - wanted).elements(), *(stray if strays else [])]
    if missing:
        yield _difference(memory, copy, Kind.EDGE_MISSING, Depth.STRUCTURE, _named(missing))
    if extra:
        yield _difference(memory, copy, Kind.EDGE_UNEXPECTED, Depth.STRUCTURE, _named(extra))
    if depth is Depth.FULL and memory is not None and fragment is not None:
        fields = [*_fields(memory, fragment, copy), *_properties(fragment, copy, alike=not (missing or stray))]
        if fields:
            yield _difference(memory, copy, Kind.CONTENT, Depth.FULL, f"differs in {', '.join(fields[:SHOWN])}")


def _difference(memory: Memory | None, copy: GraphMemory, kind: Kind, depth: Depth, reason: str) -> Inconsistency:
    version = memory.version if memory else None
    return Inconsistency(copy.user_id, copy.id, kind, depth, version, copy.version, reason=reason)


def _ends(fragment: Fragment | None) -> Counter[tuple[str, str]]:
    return Counter((m.type, m.key) for m in fragment.mentions) if fragment else Counter()


def _edges(fragment: Fragment | None) -> Counter[tuple[tuple[str, str], str, tuple[str, str]]]:
    if fragment is None:
        return Counter()
    ends = [(m.type, m.key) for m in fragment.mentions]
    return Counter((ends[e.source], e.type, ends[e.target]) for e in fragment.edges)


def _named(edges: Iterable[Any]) -> str:
    """Name the kinds of edges without what they say: a record of an inconsistency holds no content."""
    kinds = Counter("MENTIONS" if isinstance(edge[0], str) else edge[1] for edge in edges)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())[:SHOWN])


def _fields(memory: Memory, fragment: Fragment, copy: GraphMemory) -> Iterator[str]:
    """Name the properties of the memory's node that differ."""
    wanted: Mapping[str, Any] = {
        "caption": fragment.caption,
        "agent_id": fragment.agent_id,
        "run_id": fragment.run_id,
        "created_at": memory.created_at,
        "bucket": fragment.bucket,
        "digest": fragment.digest,
    }
    return (name for name, value in wanted.items() if getattr(copy, name) != value)


def _properties(fragment: Fragment, copy: GraphMemory, *, alike: bool) -> Iterator[str]:
    """Name the mentions and relationships whose properties differ; where edges are missing, those that are there."""
    mentions = {(m.type, m.key): canonical_text(m.properties) for m in fragment.mentions}
    said = [((e.type, e.key), canonical_text(e.properties)) for e in copy.entities]
    if any(mentions.get(end, text) != text for end, text in said):
        yield "the properties of a mention"
    if alike and _stated(fragment) != Counter(
        (e.source, e.type, e.target, canonical_text(e.properties)) for e in copy.edges
    ):
        yield "the properties of a relationship"


def _stated(fragment: Fragment) -> Counter[Hashable]:
    ends = [(m.type, m.key) for m in fragment.mentions]
    return Counter((ends[e.source], e.type, ends[e.target], canonical_text(e.properties)) for e in fragment.edges)
