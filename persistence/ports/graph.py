"""The graph store: a projection of truth, written conditionally on versions.

Every method raises GraphUnavailableError where the store cannot be reached, GraphConflictError where it undid the
operation because of a concurrent one. None of them retries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from persistence.ports.capabilities import Capability
from persistence.ports.checking import GraphCheck
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Tombstone
from persistence.projection import Fragment


@dataclass(frozen=True, slots=True)
class GraphWrite:
    """Bring the graph up to one version of one memory. ``fragment`` None: the memory is deleted at that version.

    ``force``: write it anew though the graph has that version already (its content was changed behind our back).
    ``generation``: the stamp of the rebuild that writes it; a write without one takes the stamp away.
    """

    user_id: str
    id: str
    version: int
    bucket: int
    created_at: datetime | None
    fragment: Fragment | None
    force: bool = False
    generation: int | None = None


class Verdict(StrEnum):
    """What the graph did with a write."""

    APPLIED = "applied"
    SAME = "same"
    """It had that version already."""
    NEWER = "newer"
    """It has a newer version (or a tombstone of the same one); nothing was touched."""


@dataclass(frozen=True, slots=True)
class GraphAck:
    """The answer to one write; ``version`` is the version the graph has now."""

    verdict: Verdict
    version: int


@dataclass(frozen=True, slots=True)
class GraphEntity:
    """An entity as the graph holds it, with what one memory says of it (empty where it is not seen from a memory)."""

    type: str
    key: str
    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """A relationship as the graph holds it; the ends are (type, key)."""

    source: tuple[str, str]
    type: str
    target: tuple[str, str]
    properties: Mapping[str, Any]
    memory_id: str


@dataclass(frozen=True, slots=True)
class GraphMemory:
    """Everything the graph holds of one memory; ``live`` False: a tombstone. Entities and edges in sorted order."""

    user_id: str
    id: str
    version: int
    digest: int | None
    bucket: int
    live: bool
    caption: str | None
    agent_id: str | None
    run_id: str | None
    created_at: datetime | None
    entities: tuple[GraphEntity, ...]
    edges: tuple[GraphEdge, ...]


@dataclass(frozen=True, slots=True)
class GraphHit:
    """A memory reached. ``distance`` 1: it shares an entity with a start; each relationship on the way adds one.

    ``shared`` is the number of distinct entities by which it is reached at that distance, ``via`` the first of them in
    the order of (type, key), at most three, as (type, name).
    """

    memory_id: str
    distance: int
    shared: int
    via: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """Live memories, tombstones and entities; None where not obtained.

    ``exact`` False: there are more memories and tombstones than were counted.
    """

    memories: int | None
    tombstones: int | None
    entities: int | None
    exact: bool = True


class GraphStore(GraphCheck, Protocol):
    """The projection: memories, the entities they mention, the relationships they state."""

    @property
    def kind(self) -> str:
        """The backend's name, as in the URL and in logs."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this graph can do. Without ``DURABLE`` it has no say over the outbox."""
        ...

    async def open(self) -> None:
        """Connect and make constraints and indexes."""
        ...

    async def close(self) -> None:
        """Release every connection. Safe to call twice, and without ``open``."""
        ...

    async def ping(self) -> str:
        """Return the server's version."""
        ...

    async def identify(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool = False) -> GraphIdentity:
        """Return the graph's identity, stamping it with one on first use.

        Raises GraphIdentityError where the graph belongs to another truth than ``store_id``, or is another graph than
        ``known`` (``adopt`` lets the second pass). A graph that was emptied is stamped with what is known.
        """
        ...

    async def release(self, truth_id: UUID) -> None:
        """Make a graph that belongs to this truth belong to none; any other graph stays as it is.

        For a truth that is lost and was restored as a new one. What the graph holds stays.
        """
        ...

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        """Apply writes of distinct memories in one transaction, answers in the order given.

        A live node accepts ``version >= its own``, a tombstone only ``>``. What the memory owned is replaced. Entities
        whose last mention goes are removed, unless an edge that is not ours holds them. Nothing of it happens later
        than ``timeout`` seconds from now: the graph refuses it then by its own clock (GraphWriteExpiredError).
        """
        ...

    async def read(self, keys: Sequence[Key], *, locked: bool = False) -> dict[Key, GraphMemory]:
        """Return what the graph holds of these memories, tombstones included.

        ``locked``: with nobody writing any of them meanwhile, so that no write is seen half done.
        """
        ...

    async def related(self, user_id: str, ids: Sequence[str], *, depth: int, limit: int) -> list[GraphHit]:
        """Return memories reached from those named (which are left out), in the order of distance, most shared, id."""
        ...

    async def entities(self, user_id: str, *, after: tuple[str, str] | None, limit: int) -> list[GraphEntity]:
        """List a tenant's entities in the order of (type, key), from beyond ``after``."""
        ...

    async def mentioning(self, user_id: str, entity: tuple[str, str], *, limit: int) -> list[str]:
        """List live memories that mention an entity, named by (type, key), in the order of their ids.

        Of an entity that thousands mention, a thousand are looked at.
        """
        ...

    async def counts(self, user_id: str | None, *, bound: int = 100_000) -> GraphCounts:
        """Count from the store's own statistics where they are exact, else up to ``bound``.

        Memories and tombstones are counted together: beyond the bound they are what was counted, or an estimate, marked
        as not exact. Entities beyond it are None.
        """
        ...

    async def collect(self, tombstones: Sequence[Tombstone]) -> None:
        """Remove tombstone nodes that are still tombstones at no higher version."""
        ...
