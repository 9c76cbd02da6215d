"""The extractor: a text in, the entities and relationships it speaks of out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from persistence.records import Entity, Relationship, fits, normalise


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one text speaks of; the ends of every relationship are among the entities."""

    entities: tuple[Entity, ...] = ()
    relationships: tuple[Relationship, ...] = ()

    def held(self, user_id: str) -> Extraction:
        """Leave out the entities that no graph can hold for this tenant, and the relationships that end at one.

        It is no fault of the caller that a text speaks of something with so long a name.
        """
        entities = tuple(entity for entity in self.entities if fits(user_id, entity))
        if len(entities) == len(self.entities):
            return self
        ends = {end for entity in entities for end in ((entity.key, entity.type), (entity.key, None))}
        relationships = (one for one in self.relationships if {_source(one), _target(one)} <= ends)
        return Extraction(entities, tuple(relationships))


class Extractor(Protocol):
    """Finds entities and relationships in texts."""

    @property
    def model(self) -> str:
        """The name of the model or the rules."""
        ...

    async def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """Return one extraction per text, in the order given. Raises ExtractionError."""
        ...

    async def close(self) -> None:
        """Release connections. Safe to call twice."""
        ...


def _source(relation: Relationship) -> tuple[str, str | None]:
    return normalise(relation.source), relation.source_type


def _target(relation: Relationship) -> tuple[str, str | None]:
    return normalise(relation.target), relation.target_type
