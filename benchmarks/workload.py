"""Memories to write: seeded, shaped as in real life (a few entities are in very many of them).

Every memory has an embedding of random direction, three distinct entities and two relationships between them. An
entity's rank is drawn from a Pareto distribution with exponent 0.8, so the most popular one is in 43 % of the draws.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from persistence.records import Vector

DIMENSION = 384
ENTITIES = 3
RELATIONSHIPS = 2
EXPONENT = 0.8
#: Entities there are at most; a draw beyond them is drawn again.
POOL = 5_000

KINDS = ("Person", "Organization", "Place", "Topic")
STATEMENTS = ("WORKS_AT", "KNOWS", "LIVES_IN", "MENTIONED_WITH", "LIKES")
_TEXT = """
about again agreed because before budget called clear coffee could customer deadline decided design draft early
engine finally first found garden gave harbour helped hundred island journey knew later letter likes machine meeting
morning moved needs never number offered office often opened paper people plan project question ready report river
season second should since small spoke started station still street talked travels under until visited waited
weather week wheel window winter with works would written yesterday
"""
WORDS = tuple(_TEXT.split())


@dataclass(frozen=True, slots=True)
class Item:
    """One memory to write, in the terms of ``store``; ``embedding`` has shape ``(DIMENSION,)``."""

    id: str
    user_id: str
    content: str
    entities: tuple[dict[str, Any], ...]
    relationships: tuple[dict[str, Any], ...]
    embedding: Vector

    def fields(self) -> dict[str, Any]:
        """Return the arguments of a ``store``, the content included."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "content": self.content,
            "entities": self.entities,
            "relationships": self.relationships,
            "embedding": self.embedding,
        }


@dataclass(slots=True)
class Workload:
    """A stream of memories; the same seed makes the same stream, whoever asks for it."""

    seed: int
    _random: random.Random = field(init=False)
    _vectors: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        """Seed both sources of chance."""
        self._random = random.Random(self.seed)
        self._vectors = np.random.default_rng(self.seed)

    def items(self, count: int, user_id: str) -> list[Item]:
        """Make the next ``count`` memories, as memories of ``user_id``."""
        vectors = self._vectors.standard_normal((count, DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return [self._item(user_id, vector) for vector in vectors]

    def lines(self, count: int, user_id: str, *, linked: bool = True) -> Iterator[dict[str, Any]]:
        """Make the next ``count`` memories without embeddings, as lines of an import; only ``linked`` with entities."""
        for _ in range(count):
            entities, relationships = self._graph() if linked else ((), ())
            yield {
                "id": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                "user_id": user_id,
                "content": self._content(entities),
                "entities": entities,
                "relationships": relationships,
            }

    def _item(self, user_id: str, vector: Vector) -> Item:
        entities, relationships = self._graph()
        identity = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        return Item(identity, user_id, self._content(entities), entities, relationships, vector)

    def _content(self, entities: tuple[dict[str, Any], ...]) -> str:
        said = " ".join(self._random.choices(WORDS, k=12))
        if not entities:
            return f"{said.capitalize()}."
        return f"{entities[0]['name']} and {entities[1]['name']} {said} {entities[2]['name']}."

    def _graph(self) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
        ranks: list[int] = []
        while len(ranks) < ENTITIES:
            rank = int(self._random.paretovariate(EXPONENT))
            if rank <= POOL and rank not in ranks:
                ranks.append(rank)
        entities = tuple(_entity(rank) for rank in ranks)
        relationships = tuple(self._statement(entities[i], entities[i + 1]) for i in range(RELATIONSHIPS))
        return entities, relationships

    def _statement(self, source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
        kind = self._random.choice(STATEMENTS)
        return {"source": source["name"], "type": kind, "target": target["name"], "properties": {"weight": 0.5}}


def _entity(rank: int) -> dict[str, Any]:
    return {"name": f"Entity {rank:04}", "type": KINDS[rank % len(KINDS)], "properties": {"role": "subject"}}
