"""The vector store: the source of truth, and the outbox that lies beside it.

Every method raises VectorStoreUnavailableError where the store cannot be reached, VectorStoreConflictError where it
undid the operation because of a concurrent one, OutcomeUnknownError where a write may or may not have been committed.
None of them retries, and none waits longer than the connection settings allow: deadlines and retries are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Protocol
from uuid import UUID

from persistence.filters import Filter
from persistence.ports.capabilities import Capability
from persistence.ports.checking import TruthCheck
from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.ports.reader import Reader
from persistence.ports.runs import RunStore
from persistence.records import Entity, Memory, Relationship, Vector
from persistence.results import Count, OutboxStats


class WriteMode(Enum):
    """What a write does to what is there already."""

    REPLACE = "replace"
    """Store or replace; a deleted memory becomes live again."""
    UPDATE = "update"
    """Replace a live memory; MemoryNotFoundError (or VersionConflictError, where a version is expected) without one."""
    KEEP_LIVE = "keep_live"
    """Leave a live memory alone; a deleted one becomes live again."""
    KEEP_ANY = "keep_any"
    """Leave a live memory alone, and a deleted one deleted."""


@dataclass(frozen=True, slots=True)
class MemoryWrite:
    """One memory to write. ``write_id`` is unique to this write: it names the outbox entry, and tells its author apart.

    ``created_at`` None: the time of the first store is kept, or is now. ``above``: the new version must be higher than
    this (the graph was seen ahead of a truth that was restored from a backup). ``expected_version`` is that of a live
    memory, in mode REPLACE also that of a tombstone (a delete is undone).
    """

    user_id: str
    id: str
    agent_id: str | None
    run_id: str | None
    content: str
    metadata: Mapping[str, Any]
    entities: tuple[Entity, ...]
    relationships: tuple[Relationship, ...]
    extracted: bool
    embedding: Vector
    digest: int
    bucket: int
    created_at: datetime | None
    write_id: UUID
    mode: WriteMode = WriteMode.REPLACE
    expected_version: int | None = None
    above: int = 0

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)


@dataclass(frozen=True, slots=True)
class MemoryDelete:
    """One memory to delete. ``expected_version`` None: whatever is there.

    ``above``: the tombstone's version must be higher than this; an older tombstone is then written anew.
    """

    user_id: str
    id: str
    write_id: UUID
    bucket: int
    expected_version: int | None = None
    above: int = 0

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)


class Written(StrEnum):
    """What a write found and did."""

    WRITTEN = "written"
    """The write is durable, and so is its outbox entry (where it is tracked)."""
    EXISTS = "exists"
    """Nothing was done: a live memory is there, and the mode leaves it alone."""
    DELETED = "deleted"
    """Nothing was done: a tombstone is there, and the mode (or the delete) leaves it alone."""
    ABSENT = "absent"
    """Nothing was done: a delete found neither a memory nor a tombstone."""


@dataclass(frozen=True, slots=True)
class WriteReceipt:
    """What truth says of one write.

    ``version`` is the version that is there now, None where nothing ever was. ``tracked``: an outbox entry named by
    the write's ``write_id`` was made and has to be settled. ``former``: the record that was replaced or deleted, where
    it was asked for and there was one. ``resent``: the answer to the write was lost and it was sent again, so what it
    replaced is not known; stores leave it False.
    """

    status: Written
    version: int | None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tracked: bool = False
    former: Memory | None = None
    resent: bool = False

    @property
    def stamp(self) -> tuple[int, datetime, datetime]:
        """Version and times of a live memory. Raises ValueError where the receipt speaks of none."""
        if self.version is None or self.created_at is None or self.updated_at is None:
            raise ValueError("the receipt speaks of no live memory")
        return self.version, self.created_at, self.updated_at


@dataclass(frozen=True, slots=True)
class Tracking:
    """How the outbox entries of a call's writes are made.

    ``lease``: seconds for which no relay takes the entry, the writer being at it. ``graph``: False where this process
    has no graph; then an entry is made only if the truth has one registered, and it is marked disabled.
    """

    graph: bool
    lease: float


class Resolution(StrEnum):
    """What became of a write whose acknowledgement was lost."""

    WRITTEN = "written"
    NOT_WRITTEN = "not_written"
    UNKNOWN = "unknown"
    """Someone else wrote since; whether ours was in between cannot be told."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What remains of a deleted memory."""

    user_id: str
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What truth holds of one key: a memory, or a tombstone, or neither."""

    memory: Memory | None = None
    tombstone: Tombstone | None = None

    @property
    def version(self) -> int | None:
        """The version that is there."""
        here = self.memory or self.tombstone
        return here.version if here else None


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a transfer did: ``written`` as they came, ``left`` alone, because what is there is not older."""

    written: tuple[Key, ...]
    left: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class GraphIdentity:
    """Which graph belongs to a truth: the id we stamped into the graph, and the database's own id."""

    graph_id: UUID
    database_id: str


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a truth says of itself. ``vector_index``: ``present``, ``missing`` (a load went on or died), ``none``."""

    store_id: UUID
    schema_version: int
    embedding_model: str | None
    dimension: int | None
    floor: int
    graph: GraphIdentity | None
    vector_index: str


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of a tenant's changes. ``cursor`` goes into the next call; ``more``: the page was full."""

    memories: tuple[Memory, ...]
    tombstones: tuple[Tombstone, ...]
    cursor: str
    more: bool


class VectorStore(TruthCheck, RunStore, Protocol):
    """The truth of memories, their versions, tombstones and outbox; beside it the runs that keep the graph in step."""

    @property
    def kind(self) -> str:
        """The backend's name, as in the URL and in logs."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this truth can do beyond what every truth does; known before ``open``."""
        ...

    async def open(self, *, model: str, dimension: int) -> StoreInfo:
        """Connect, check or (where allowed) upgrade the schema, bind or compare the embedding model.

        Raises SchemaMissingError, SchemaTooNewError, EmbeddingMismatchError, ConfigurationError (missing extension).
        """
        ...

    async def close(self) -> None:
        """Release every connection. Safe to call twice, and without ``open``."""
        ...

    async def ping(self) -> str:
        """Return the server's version."""
        ...

    async def info(self) -> StoreInfo:
        """Return what the truth says of itself now."""
        ...

    async def register_graph(self, identity: GraphIdentity, *, former: GraphIdentity | None) -> GraphIdentity:
        """Record which graph belongs to this truth, if the one recorded still is ``former``; return the one recorded.

        A graph other than the one before knows nothing: in the same transaction, and with writers kept out, every
        memory and tombstone is listed in the outbox, due now. So none is missed that is written at that moment.
        """
        ...

    async def write(self, write: MemoryWrite, tracking: Tracking, *, want_former: bool = False) -> WriteReceipt:
        """Write one memory and its outbox entry atomically.

        Raises VersionConflictError, MemoryNotFoundError (mode UPDATE); then nothing was written.
        """
        ...

    async def write_many(self, writes: Sequence[MemoryWrite], tracking: Tracking) -> list[WriteReceipt]:
        """Write many in one transaction, receipts in the order given.

        The keys must be distinct, the modes one, and no version expected.
        """
        ...

    async def delete_many(
        self, deletes: Sequence[MemoryDelete], tracking: Tracking, *, want_former: bool = False
    ) -> list[WriteReceipt]:
        """Leave a tombstone of each and an outbox entry, in one transaction. Raises VersionConflictError."""
        ...

    async def resolve(self, key: Key, write_id: UUID, former_version: int | None) -> Resolution:
        """Say what became of a write, waiting for it if it is still under way.

        ``former_version``: the version that was there before, where the caller knows it.
        """
        ...

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        """Read memories and tombstones in one snapshot, from the primary. A key without either is not in the answer."""
        ...

    async def page(
        self, user_id: str, *, after: str | None, limit: int, where: Filter, embeddings: bool = False
    ) -> list[Memory]:
        """Read a tenant's memories in the order of their ids (code point order), from beyond ``after``."""
        ...

    async def search(self, user_id: str, vector: Vector, *, limit: int, where: Filter) -> list[tuple[Memory, float]]:
        """Return the nearest memories with their cosine similarity, best first, ``limit`` of them if so many match."""
        ...

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        """Count memories, exactly up to ``bound``; beyond it an estimate, marked as not exact."""
        ...

    async def changes(self, user_id: str, *, cursor: str | None, limit: int) -> Changes:
        """Return what of a tenant was committed since ``cursor`` (None: everything), so that no commit is ever missed.

        The same change may come again.
        """
        ...

    # --- outbox ---------------------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        """Remove the entries that are still these, in key order; return how many."""
        ...

    async def release(self, settlements: Sequence[Settlement]) -> None:
        """Give up the writer's lease on these entries: a relay may take them now."""
        ...

    async def claim(self, *, limit: int, lease: float) -> list[OutboxEntry]:
        """Take due entries, oldest due first, for ``lease`` seconds; the attempt is counted before it is made."""
        ...

    async def postpone(self, postponements: Sequence[Postponement]) -> int:
        """Give back claimed entries with their back-off, or bury them; return how many were still ours."""
        ...

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        """Count pending and dead entries up to ``bound``, of all or of one tenant, and say how old the oldest is."""
        ...

    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]:
        """List entries in key order; ``dead`` None: both kinds."""
        ...

    async def pending(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        """Return the entries of these memories, dead ones included."""
        ...

    async def revive(self, keys: Sequence[Key] | None) -> int:
        """Make dead entries due now, with no attempts counted (None: all of them); return how many."""
        ...

    async def discard(self, key: Key, entry_id: UUID) -> bool:
        """Move a dead entry to the open inconsistencies; False where it is not there or not dead."""
        ...

    async def next_due(self) -> float | None:
        """Return the seconds until the next entry is due (0 or less: now), None where nothing is pending."""
        ...

    # --- tombstones and bulk loads --------------------------------------------------------------------------------

    async def tombstones_due(self, *, age: float, limit: int) -> list[Tombstone]:
        """Return settled tombstones older than ``age`` seconds."""
        ...

    async def collect_tombstones(self, tombstones: Sequence[Tombstone]) -> int:
        """Remove these tombstones where they are still the same and settled, and raise the floor, atomically."""
        ...

    async def begin_load(self) -> bool:
        """Put off the vector index, if the store is empty and no one else loads; True where it was put off."""
        ...

    async def end_load(self) -> None:
        """Build the vector index that ``begin_load`` put off. Takes as long as it takes."""
        ...

    # --- copies from another store --------------------------------------------------------------------------------

    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]:
        """Read tombstones in the order of (user_id, id), from beyond ``after``; ``user_id`` None: of all tenants."""
        ...

    async def transfer(
        self, memories: Sequence[Memory], tombstones: Sequence[Tombstone], tracking: Tracking
    ) -> Transferred:
        """Write memories and tombstones as they are: at their versions, with their times, digests and embeddings.

        Each is written where what is there, memory or tombstone, is older, or nothing is there; the rest is left alone.
        So it can be repeated, in any order. What is written is listed in the outbox as every write is. The keys must
        be distinct. One transaction where the store has those; where it has not, each of them is done or not by itself.
        A tombstone's age begins here anew.
        """
        ...

    async def raise_floor(self, floor: int) -> None:
        """Raise the floor to ``floor``, if it is lower: no version up to it is given out from now on."""
        ...

    # --- backups --------------------------------------------------------------------------------------------------

    def reader(self) -> AbstractAsyncContextManager[Reader]:
        """Lend a look at everything that stands still until it is given back, and keeps no writer waiting.

        Without ``SNAPSHOT_READS`` it does not stand still: then each memory is whole, and whatever was acknowledged
        before the reader was lent is seen, as it was then or as somebody wrote it since.
        """
        ...
