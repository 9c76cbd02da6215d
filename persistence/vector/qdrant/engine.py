"""What the store asks of Qdrant, whichever way it is reached: the server by its client, or its engine in this process.

Points are changed under conditions only: an upsert replaces a point that is there only where its terms hold (one that
is not there is inserted all the same), and a put or a removal finds its points by a filter. Nothing is ever changed by
an id alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from persistence.records import Vector
from persistence.vector.qdrant.terms import Terms

T = TypeVar("T")
Payload = dict[str, Any]
#: The fields of a payload that are wanted; None: all of them.
Fields = tuple[str, ...] | None


class Index(Enum):
    """The kinds of payload indexes."""

    TENANT = "tenant"
    KEYWORD = "keyword"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a collection's vectors are; ``dimension`` None where there is none of ours. ``distance``: Qdrant's word."""

    dimension: int | None
    distance: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """A point to be written; ``vector`` None: none, so that no search finds it."""

    id: str
    payload: Payload
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A point that was read."""

    id: str
    payload: Payload
    vector: Vector | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Upsert:
    """Write points whole; of those that are there only the ones for which the terms hold."""

    points: Sequence[Point]
    only: Terms


@dataclass(frozen=True, slots=True)
class Put:
    """Set fields of the points for which the terms hold; None takes a field away."""

    where: Terms
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the points for which the terms hold."""

    where: Terms


Change = Upsert | Put | Remove


class Engine(Protocol):
    """One way to reach Qdrant. Errors are those of persistence.errors."""

    @property
    def kind(self) -> str:
        """What it is called in logs and reports."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several processes can use it at once. If not, a call that writes has the store to itself."""
        ...

    async def open(self) -> None:
        """Connect; each call needs a ``close``. Raises ConfigurationError where the server is too old."""
        ...

    async def can_open(self, collection: str) -> bool:
        """Say whether a collection is to be had from ``open``, without touching anything."""
        ...

    async def close(self) -> None:
        """Release everything once the last of those who opened it has closed it."""
        ...

    async def version(self) -> str:
        """Return the version of the server or the engine, asking it."""
        ...

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, write: bool = False) -> T:
        """Do one call of the store, which awaits nothing but this engine."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait, inside of such a call."""
        ...

    async def shape(self, collection: str) -> Shape | None:
        """Say how a collection is; None where there is none."""
        ...

    async def create(self, collection: str, dimension: int | None, indexes: Mapping[str, Index]) -> None:
        """Make a collection and its indexes, where they are not there yet."""
        ...

    async def change(self, collection: str, *changes: Change) -> None:
        """Make changes one after another, each as a whole; they are durable, and seen by the next read."""
        ...

    async def get(
        self, collection: str, ids: Sequence[str], fields: Fields = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        """Read points by their ids; those that are not there are not in the answer."""
        ...

    async def scroll(
        self, collection: str, where: Terms, *, limit: int, start: str | None = None, fields: Fields = None
    ) -> tuple[list[Found], str | None]:
        """Read points in the order of their ids; the second value is where the next page starts."""
        ...

    async def ordered(
        self,
        collection: str,
        where: Terms,
        by: str,
        *,
        limit: int,
        descending: bool = False,
        fields: Fields = None,
    ) -> list[Found]:
        """Read points in the order of a number (those of one number in any order); those without it are left out."""
        ...

    async def nearest(
        self, collection: str, vector: Vector, where: Terms, *, limit: int, offset: int = 0, exact: bool = False
    ) -> list[Found]:
        """Return the points whose vectors have the largest product with this one, best first."""
        ...

    async def count(self, collection: str, where: Terms, *, exact: bool = True) -> int:
        """Count points one by one, or say about how many there are, which costs the same however many that is."""
        ...

    async def set_indexing(self, collection: str, *, on: bool) -> None:
        """Build the vector index from now on, or put it off."""
        ...
