"""The guard of every write: from what is there, whether it applies, at which version, and what becomes of its entry.

It is asked under the write lock of the file, so what it was told cannot change before the write is done.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from persistence.errors import MemoryNotFoundError, VersionConflictError
from persistence.ports.vector import WriteMode, Written


class Store(NamedTuple):
    """What the store says before a write. ``listed``: an entry is made, even by a process without a graph."""

    floor: int
    listed: bool
    newest: int
    now: int


class Found(NamedTuple):
    """What there is of a key: a memory, or a tombstone, or neither, and the name of its outbox entry."""

    memory_number: int | None
    memory_version: int | None
    memory_write: str | None
    created_at: int | None
    updated_at: int | None
    tombstone_number: int | None
    tombstone_version: int | None
    tombstone_write: str | None
    deleted_at: int | None
    entry_id: str | None

    @property
    def version(self) -> int | None:
        """The version that is there."""
        return self.memory_version or self.tombstone_version

    @property
    def changed_at(self) -> int | None:
        """When it was written or deleted."""
        return self.deleted_at if self.updated_at is None else self.updated_at


_NOTHING = Found(*(None,) * len(Found._fields))


def found_of(row: tuple[Any, ...]) -> Found:
    """Return what a row says; of most keys of a load there is nothing, which is said by one value for all of them."""
    return _NOTHING if row == _NOTHING else Found._make(row)


class Wish(NamedTuple):
    """What a write wants. ``mode`` None: a delete."""

    write_id: str
    mode: WriteMode | None
    expected: int | None = None
    above: int = 0


class Verdict(NamedTuple):
    """What becomes of a write. ``todo``: something is to be written at ``version``, ``at`` this time."""

    status: Written
    todo: bool
    version: int | None
    at: int | None
    tracked: bool


def judge(wish: Wish, found: Found, store: Store) -> Verdict:
    """Decide. Raises VersionConflictError, MemoryNotFoundError."""
    if wish.write_id in (found.memory_write, found.tombstone_write):
        # The same write once more (its answer was lost): nothing is to be done.
        return Verdict(Written.WRITTEN, False, found.version, found.changed_at, found.entry_id == wish.write_id)
    _check(wish, found)
    status = _status(wish, found)
    if status is not Written.WRITTEN:
        return Verdict(status, False, found.version, found.changed_at, tracked=False)
    version = max(store.now, (found.version or 0) + 1, store.floor + 1, wish.above + 1)
    return Verdict(status, True, version, store.now, tracked=store.listed or found.entry_id is not None)


def _check(wish: Wish, found: Found) -> None:
    if wish.expected is not None and wish.expected != _comparable(wish, found):
        raise VersionConflictError(wish.expected, found.memory_version)
    if wish.mode is WriteMode.UPDATE and found.memory_version is None:
        raise MemoryNotFoundError


def _comparable(wish: Wish, found: Found) -> int | None:
    """Return the version that an expected one is compared with: a tombstone's only where it is undone or raised."""
    if found.memory_version is None and (wish.mode is WriteMode.REPLACE or _raised(wish, found)):
        return found.tombstone_version
    return found.memory_version


def _raised(wish: Wish, found: Found) -> bool:
    """Say whether a delete is to write a tombstone anew, above what the graph has."""
    old = found.tombstone_version
    return wish.mode is None and old is not None and old <= wish.above


def _status(wish: Wish, found: Found) -> Written:
    if found.memory_version is not None:
        return Written.EXISTS if wish.mode in {WriteMode.KEEP_LIVE, WriteMode.KEEP_ANY} else Written.WRITTEN
    if found.tombstone_version is None:
        return Written.ABSENT if wish.mode is None else Written.WRITTEN
    if wish.mode is WriteMode.KEEP_ANY or (wish.mode is None and not _raised(wish, found)):
        return Written.DELETED
    return Written.WRITTEN
