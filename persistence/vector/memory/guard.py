"""The guard before every write: what is there, what is to become of it, at which version, and the outbox entry.

The same rules as in the function ``judge_writes`` on PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from persistence.errors import MemoryNotFoundError, VectorStoreError, VersionConflictError
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, MemoryWrite, Tracking, WriteMode, Written
from persistence.vector.memory.rows import Entry, Grave, Row
from persistence.vector.memory.state import Table, Transaction
from persistence.vector.memory.times import later

#: Versions stay below it, so that a double holds each.
_BOUND = 2**53


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a write. ``todo``: something is to be written at ``version``."""

    status: Written
    todo: bool
    version: int | None
    tracked: bool
    row: Row | None
    created_at: int
    updated_at: int | None


@dataclass(frozen=True, slots=True)
class _There:
    """What there is of a memory."""

    row: Row | None
    grave: Grave | None
    entry: Entry | None

    @property
    def version(self) -> int | None:
        here = self.row or self.grave
        return here.version if here else None

    @property
    def updated_at(self) -> int | None:
        if self.row is not None:
            return self.row.updated_at
        return self.grave.deleted_at if self.grave else None

    def wrote(self, write_id: UUID) -> bool:
        """Say whether this very write made what is here (its answer was lost)."""
        here = self.row or self.grave
        return here is not None and here.write_id == str(write_id)


def judge(tx: Transaction, item: MemoryWrite | MemoryDelete, tracking: Tracking) -> Judged:
    """Decide on one write, and leave its outbox entry as it has to be.

    Raises VersionConflictError, MemoryNotFoundError.
    """
    mode = item.mode if isinstance(item, MemoryWrite) else None
    there = _look(tx, item)
    own = there.wrote(item.write_id)
    if not own:
        _refuse(item, mode, there)
    status = Written.WRITTEN if own else _status(item, mode, there)
    todo = status is Written.WRITTEN and not own
    version = _version(tx, item, there) if todo else there.version
    tracked = _tracked(tx, item, there, tracking, own=own, written=todo)
    if todo and tracked and version is not None:
        tx.put(Table.OUTBOX, item.key, entry_of(tx, item.key, str(item.write_id), there.entry, version, tracking))
    created_at = there.row.created_at if there.row else tx.moment
    updated_at = tx.moment if todo else there.updated_at
    return Judged(status, todo, version, tracked, there.row, created_at, updated_at)


def _look(tx: Transaction, item: MemoryWrite | MemoryDelete) -> _There:
    key = item.key
    return _There(tx.get(Table.MEMORIES, key), tx.get(Table.TOMBSTONES, key), tx.get(Table.OUTBOX, key))


def _raised(item: MemoryWrite | MemoryDelete, mode: WriteMode | None, there: _There) -> bool:
    """Say whether a tombstone is to be written anew above what the graph has."""
    grave = there.grave
    return mode is None and there.row is None and grave is not None and grave.version <= item.above


def _refuse(item: MemoryWrite | MemoryDelete, mode: WriteMode | None, there: _There) -> None:
    actual = there.row.version if there.row else None
    comparable = actual
    if there.row is None and (_raised(item, mode, there) or mode is WriteMode.REPLACE):
        comparable = there.version
    if item.expected_version is not None and item.expected_version != comparable:
        raise VersionConflictError(item.expected_version, actual)
    if mode is WriteMode.UPDATE and there.row is None:
        raise MemoryNotFoundError


def _status(item: MemoryWrite | MemoryDelete, mode: WriteMode | None, there: _There) -> Written:
    if there.row is not None:
        return Written.EXISTS if mode in {WriteMode.KEEP_LIVE, WriteMode.KEEP_ANY} else Written.WRITTEN
    if there.grave is None:
        return Written.ABSENT if mode is None else Written.WRITTEN
    if mode in {None, WriteMode.KEEP_ANY} and not _raised(item, mode, there):
        return Written.DELETED
    return Written.WRITTEN


def _version(tx: Transaction, item: MemoryWrite | MemoryDelete, there: _There) -> int:
    version = max(tx.moment, (there.version or 0) + 1, tx.about.floor + 1, item.above + 1)
    if version >= _BOUND:
        raise VectorStoreError(f"The version {version} is beyond what every store can hold.")
    return version


def _tracked(
    tx: Transaction,
    item: MemoryWrite | MemoryDelete,
    there: _There,
    tracking: Tracking,
    *,
    own: bool,
    written: bool,
) -> bool:
    if own:
        return there.entry is not None and there.entry.entry_id == str(item.write_id)
    return written and (tracking.graph or tx.about.graph is not None or there.entry is not None)


def entry_of(tx: Transaction, key: Key, write_id: str, former: Entry | None, version: int, tracking: Tracking) -> Entry:
    """Return the entry of a write: a new one, or the one that is there, which becomes this writer's."""
    due_at, disabled = later(tx.moment, tracking.lease), not tracking.graph
    if former is None:
        return replace(Entry(*key, write_id, version, 0, tx.moment, due_at), disabled=disabled)
    return replace(
        former,
        entry_id=write_id,
        version=version,
        attempts=0,
        claim=0,
        dead_at=None,
        reason=None,
        disabled=disabled,
        due_at=due_at,
    )
