"""What an extractor gathers from one text: only what the records allow, each thing once, within their limits."""

from __future__ import annotations

from pydantic import ValidationError

from persistence.ports.extractor import Extraction
from persistence.records import MAX_ENTITIES, MAX_RELATIONSHIPS, Entity, Relationship, normalise
from persistence.text import MAX_NAME


class Findings:
    """Gathers entities and relationships in the order found; what a record would refuse is dropped."""

    def __init__(self) -> None:
        self._entities: list[Entity] = []
        self._by_key: dict[str, list[Entity]] = {}
        self._relationships: dict[tuple[int, str, int], Relationship] = {}

    @property
    def full(self) -> bool:
        """True where no further entity would be taken."""
        return len(self._entities) >= MAX_ENTITIES

    def add(self, kind: str, name: str) -> Entity | None:
        """Take an entity; return it, or the equal one found before, or None where it cannot be taken."""
        known = next((entity for entity in self.named(name) if entity.type == kind), None)
        if known or self.full:
            return known
        try:
            entity = Entity.model_validate({"name": name, "type": kind})
        except ValidationError:
            return None
        self._entities.append(entity)
        self._by_key.setdefault(entity.key, []).append(entity)
        return entity

    def named(self, name: str) -> list[Entity]:
        """Return the entities of that name, of whatever type."""
        return self._by_key.get(normalise(name), []) if len(name) <= MAX_NAME else []

    def relate(self, source: Entity | None, kind: str, target: Entity | None) -> None:
        """Take a relationship between two entities that were taken; others, and those with oneself, are dropped."""
        if source is None or target is None or source is target or len(self._relationships) >= MAX_RELATIONSHIPS:
            return
        try:
            relationship = Relationship.model_validate(
                {
                    "source": source.name,
                    "type": kind,
                    "target": target.name,
                    "source_type": source.type,
                    "target_type": target.type,
                }
            )
        except ValidationError:
            return
        self._relationships.setdefault((id(source), kind, id(target)), relationship)

    def extraction(self) -> Extraction:
        """Return what was gathered."""
        return Extraction(tuple(self._entities), tuple(self._relationships.values()))
