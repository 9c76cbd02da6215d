"""What a check has counted so far: kept with its cursor, so that a resumed one goes on counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from persistence.ports.runs import Depth, Inconsistency, Kind


@dataclass(slots=True)
class Tally:
    """Counts, and the first inconsistencies up to ``limit``. ``unknown``: parts that could not be read."""

    limit: int
    vector: int = 0
    graph: int = 0
    unknown: int = 0
    counts: dict[Kind, int] = field(default_factory=dict)
    first: list[Inconsistency] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, found: Sequence[Inconsistency]) -> None:
        """Count what was found."""
        for one in found:
            self.counts[one.kind] = self.counts.get(one.kind, 0) + 1
        self.first += found[: max(0, self.limit - len(self.first))]

    def lost(self, sentence: str) -> None:
        """Count a part that could not be read, and say why."""
        self.unknown += 1
        self.counts[Kind.UNKNOWN] = self.unknown
        self.note(sentence)

    def note(self, sentence: str) -> None:
        """Keep a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def saved(self) -> dict[str, Any]:
        """Return the tally as JSON."""
        return {
            "vector": self.vector,
            "graph": self.graph,
            "counts": {kind.value: number for kind, number in self.counts.items()},
            "first": [inconsistency_json(one) for one in self.first],
        }

    @classmethod
    def restored(cls, limit: int, saved: Mapping[str, Any]) -> Tally:
        """Return the tally that was saved. What could not be read is to be read now, so it counts no more."""
        return cls(
            limit,
            saved["vector"],
            saved["graph"],
            0,
            {Kind(kind): number for kind, number in saved["counts"].items() if kind != Kind.UNKNOWN},
            [inconsistency_of(one) for one in saved["first"]],
            [],
        )


def inconsistency_json(one: Inconsistency) -> dict[str, Any]:
    """Return an inconsistency as JSON."""
    return {
        "memory_id": one.memory_id,
        "user_id": one.user_id,
        "kind": one.kind.value,
        "depth": one.depth.value,
        "vector_version": one.vector_version,
        "graph_version": one.graph_version,
        "entity": {"type": one.entity[0], "key": one.entity[1]} if one.entity else None,
        "reason": one.reason,
    }


def inconsistency_of(saved: Mapping[str, Any]) -> Inconsistency:
    """Return the inconsistency that ``inconsistency_json`` wrote."""
    entity = saved["entity"]
    return Inconsistency(
        saved["user_id"],
        saved["memory_id"],
        Kind(saved["kind"]),
        Depth(saved["depth"]),
        saved["vector_version"],
        saved["graph_version"],
        (entity["type"], entity["key"]) if entity else None,
        saved["reason"],
    )
