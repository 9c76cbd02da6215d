"""What both stores answer so that a check can compare them: sums per bucket, then narrow rows, then single memories.

A bucket is 24 bits of a hash of a memory's identity, so memories spread over the buckets evenly, whatever their ids. A
store sums up what it holds per prefix of the bucket; where two sums differ, the rows below are looked at. None of
these calls changes anything, unless it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from persistence.ports.outbox import Key, OutboxEntry
from persistence.projection import BUCKET_BITS
from persistence.records import Memory

#: A digest and a version are summed in halves: the sum of whole ones leaves 64 bits near 5,100 rows of a bucket.
HALF = 2**32


class Span(NamedTuple):
    """The buckets from ``low`` up to, and not including, ``high``."""

    low: int
    high: int


EVERYTHING = Span(0, 1 << BUCKET_BITS)


@dataclass(frozen=True, slots=True)
class BucketSum:
    """The live memories of one prefix: how many, and the sums of both halves of their digests and versions."""

    count: int
    digest_high: int
    digest_low: int
    version_high: int
    version_low: int


class Head(NamedTuple):
    """A live memory without its content."""

    user_id: str
    id: str
    digest: int
    version: int

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)


def summed(rows: Sequence[Head]) -> BucketSum:
    """Sum rows up, as a store does that can."""
    return BucketSum(
        len(rows),
        sum(row.digest // HALF for row in rows),
        sum(row.digest % HALF for row in rows),
        sum(row.version // HALF for row in rows),
        sum(row.version % HALF for row in rows),
    )


class GraphHead(NamedTuple):
    """What the graph says of one memory; ``digest`` is None where it is a tombstone."""

    version: int
    digest: int | None
    live: bool


class Standing(NamedTuple):
    """What truth says of one key. ``version`` and ``digest`` None: not there; a tombstone has a version alone.

    ``pending``: it has an outbox entry, so the graph may lawfully say something else.
    """

    version: int | None
    digest: int | None
    pending: bool

    @property
    def live(self) -> bool:
        """Whether there is a memory, not a tombstone and not nothing."""
        return self.digest is not None


class Doubt(NamedTuple):
    """A memory to be listed in the outbox. ``version``: truth's, or the graph's where truth has nothing."""

    user_id: str
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class StrayEdge:
    """A relationship in the name of a memory that does not own it. ``handle`` names it within one graph store."""

    handle: str
    user_id: str
    memory_id: str
    type: str


@dataclass(frozen=True, slots=True)
class OrphanEntity:
    """An entity without any edge. ``handle`` names it within one graph store."""

    handle: str
    user_id: str
    type: str
    key: str


@dataclass(frozen=True, slots=True)
class EntityPage:
    """What was found at one page of entities. ``after`` goes into the next call, None after the last page."""

    seen: int
    edges: tuple[StrayEdge, ...]
    orphans: tuple[OrphanEntity, ...]
    after: tuple[str, str, str] | None


class TruthCheck(Protocol):
    """What the vector store answers to a check, a repair and a rebuild. A tenant's call reads its own rows alone."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        """Sum the live memories of a span by the first ``bits`` bits of their bucket; a prefix without any is left out.

        ``user_id`` None: of all tenants. Not called where the store lacks ``AGGREGATES``.
        """
        ...

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        """Return the live memories of these spans, in any order. The caller sees to it that they are few."""
        ...

    async def standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        """Say how each key stands, memories, tombstones and outbox in one snapshot of the primary; a key each."""
        ...

    async def walk(
        self, user_id: str | None, *, after: Key | None, limit: int, embeddings: bool = False
    ) -> list[Memory]:
        """Read memories in the order of (user_id, id), from beyond ``after``; ``user_id`` None: of all tenants."""
        ...

    async def enlist(self, doubts: Sequence[Doubt], *, lease: float) -> list[OutboxEntry]:
        """List memories in the outbox, forced and claimed by the caller for ``lease`` seconds; return these entries.

        A memory that is listed already is left as it is, and out of the answer. One of which truth knows nothing gets a
        tombstone at the version given, so that what the graph keeps of it is collected like any other's.
        """
        ...


class GraphCheck(Protocol):
    """What the graph store answers to a check, a repair and a rebuild; what is not ours is never counted or touched."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        """Sum the live memories of a span by the first ``bits`` bits of their bucket; a prefix without any is left out.

        ``user_id`` None: of all tenants. Not called where the store lacks ``AGGREGATES``.
        """
        ...

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        """Return the live memories of these spans, in any order. The caller sees to it that they are few."""
        ...

    async def heads(self, keys: Sequence[Key]) -> dict[Key, GraphHead]:
        """Return the version of each memory, tombstones included; one that is not there is not in the answer."""
        ...

    async def torn(self, user_id: str | None, span: Span, *, limit: int) -> list[Key]:
        """Return memories of a span whose edges are not those their node remembers, ``limit`` of them at most.

        Also those whose labels say something else than their digest: live without one, or a tombstone with one, or
        with edges. The comparison is made in the store.
        """
        ...

    async def loose_ends(self, user_id: str | None, *, after: tuple[str, str, str] | None, limit: int) -> EntityPage:
        """Look at ``limit`` entities in the order of (user_id, type, key), from beyond ``after``.

        Returns those without any edge, and the relationships that start at them in the name of a memory that does
        not remember them.
        """
        ...

    async def still_loose(
        self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]
    ) -> tuple[list[StrayEdge], list[OrphanEntity]]:
        """Return those that are still what ``loose_ends`` said of them."""
        ...

    async def cut_loose(self, edges: Sequence[StrayEdge], orphans: Sequence[OrphanEntity]) -> int:
        """Remove those that are still what ``loose_ends`` said of them, under their locks; return how many."""
        ...

    async def unstamped(
        self, user_id: str | None, generation: int, *, after: Key | None, limit: int
    ) -> tuple[list[tuple[Key, GraphHead]], Key | None]:
        """Look at ``limit`` memory nodes in key order from beyond ``after``; return the live ones not of that.

        The second value goes into the next call, None after the last page.
        """
        ...

    async def clear(self, user_id: str, *, limit: int, timeout: float) -> int:
        """Take about ``limit`` of a tenant's edges, entities or memories away; return how many, 0 once all are gone.

        A live memory at version v becomes a tombstone at v - 1: nothing older than v is accepted then, and v itself
        is. Edges and entities that are not ours stay. No version stands against it, so its time has to: nothing of it
        happens later than ``timeout`` seconds from now, by the graph's own clock (GraphWriteExpiredError).
        """
        ...
