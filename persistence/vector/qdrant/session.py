"""What every part of the store needs: the engine, the two collections, and what the store says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from persistence.errors import SchemaMissingError, VectorStoreUnavailableError
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.qdrant.engine import Engine, Found, Payload
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.terms import Ids, Not, Term

#: The layout of this code.
SCHEMA_VERSION = 1
#: How often a change that others came in between is tried again.
ROUNDS = 16
#: Points that one request asks for or changes.
PAGE = 1_000
#: What a write asks of the store's own point.
LIMITS = ("floor", "graph_id")


class Limits(NamedTuple):
    """What of the store's own point each write has to keep to."""

    floor: int
    graph: bool


@dataclass(frozen=True, slots=True)
class Info:
    """The store's own point."""

    store_id: UUID
    schema_version: int
    schema_needs: int
    model: str
    dimension: int
    floor: int
    graph: GraphIdentity | None
    listing: bool
    unindexed: bool

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Info:
        """Read it out of its point."""
        graph = payload.get("graph_id")
        return cls(
            UUID(payload["store_id"]),
            payload["schema_version"],
            payload.get("schema_needs", payload["schema_version"]),
            payload["model"],
            payload["dimension"],
            payload["floor"],
            GraphIdentity(UUID(graph), payload["graph_database_id"]) if graph else None,
            bool(payload.get("listing")),
            bool(payload.get("unindexed")),
        )

    def public(self) -> StoreInfo:
        """Return what the port tells of it."""
        return StoreInfo(
            self.store_id,
            self.schema_version,
            self.model,
            self.dimension,
            self.floor,
            self.graph,
            "missing" if self.unindexed else "present",
        )


class Part:
    """A part of the store: what its methods need."""

    def __init__(self, engine: Engine, collection: str) -> None:
        self._engine = engine
        self._memories = collection
        self._runs = f"{collection}_runs"
        self._dimension: int | None = None

    def _bound(self) -> int:
        """Return how many dimensions the store's embeddings have."""
        if self._dimension is None:
            raise VectorStoreUnavailableError("The vector store is not open.", hint="open it first")
        return self._dimension

    async def _info(self) -> Info:
        found = await self._engine.get(self._memories, [INFO])
        return info_of(found)


def info_of(found: Mapping[str, Found]) -> Info:
    """Return the store's own point out of those that were read."""
    return Info.of(_own(found))


def limits_of(found: Mapping[str, Found]) -> Limits:
    """Return what a write has to keep to, out of the points that were read."""
    own = _own(found)
    return Limits(own["floor"], "graph_id" in own)


def _own(found: Mapping[str, Found]) -> Payload:
    if INFO not in found:
        raise SchemaMissingError("The Qdrant collection is there, but what diptych knows of it is gone.")
    return found[INFO].payload


def any_memory() -> Term:
    """Return the term that holds for memories and tombstones, and not for the store's own point."""
    return Not(Ids([INFO]))
