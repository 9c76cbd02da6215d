"""The extractor: a text in, the entities and relationships it speaks of out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from persistence.records import Entity, Relationship


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one text speaks of; the ends of every relationship are among the entities."""

    entities: tuple[Entity, ...] = ()
    relationships: tuple[Relationship, ...] = ()


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
