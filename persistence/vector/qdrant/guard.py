"""The write guard: from what is asked and what is there to what is to be done. Pure; the rules are the port's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from persistence.errors import MemoryNotFoundError, VersionConflictError
from persistence.ports.vector import MemoryDelete, MemoryWrite, WriteMode, Written
from persistence.vector.qdrant.entries import entry_of

#: Who wrote before, so that a write finds itself though others came after it.
_REMEMBERED = 16
#: Of each, so many characters: the end of a UUID is random in every version of it.
_MARK = 12


@dataclass(frozen=True, slots=True)
class There:
    """What is there of one key."""

    live: bool
    version: int
    write_id: str
    before: tuple[str, ...]
    created_at: int | None
    updated_at: int
    entry_id: UUID | None
    entry_at: int | None
    forced: bool

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> There:
        """Read it out of a point."""
        entry = entry_of(payload)
        return cls(
            bool(payload["live"]),
            payload["version"],
            payload["write_id"],
            tuple(payload.get("before", ())),
            payload.get("created_at"),
            payload["updated_at"],
            entry[0] if entry else None,
            payload.get("entry_at"),
            bool(payload.get("forced")),
        )

    @property
    def line(self) -> list[str]:
        """The writes that led here, the newest first."""
        return [self.write_id[-_MARK:], *self.before][:_REMEMBERED]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one write finds, and whether something is to be written. Times in microseconds."""

    status: Written
    todo: bool
    version: int | None
    created_at: int | None
    updated_at: int | None
    tracked: bool


def judge(
    ask: MemoryWrite | MemoryDelete, there: There | None, *, floor: int, keep: bool, stamp: int, wall: int
) -> Judged:
    """Decide on one write. ``keep``: entries are made. Raises VersionConflictError, MemoryNotFoundError.

    A write that finds itself is done, unless the floor was raised above it while it was under way.
    """
    own = there is not None and there.write_id == str(ask.write_id)
    if own and there is not None and there.version > floor:
        return _done(ask, there)
    status = Written.WRITTEN if own else _status(ask, there)
    if not own:
        _check(ask, there)
    if status is not Written.WRITTEN:
        return _left_alone(status, there)
    listed = there is not None and there.entry_id is not None
    version = max(stamp, floor + 1, ask.above + 1, there.version + 1 if there else 0)
    created = there.created_at if there is not None and there.live and there.created_at is not None else wall
    return Judged(status, True, version, created, wall, keep or listed)


def _left_alone(status: Written, there: There | None) -> Judged:
    if there is None:
        return Judged(status, False, None, None, None, False)
    return Judged(status, False, there.version, there.created_at, there.updated_at, False)


def _done(ask: MemoryWrite | MemoryDelete, there: There) -> Judged:
    tracked = there.entry_id == ask.write_id
    return Judged(Written.WRITTEN, False, there.version, there.created_at, there.updated_at, tracked)


def _status(ask: MemoryWrite | MemoryDelete, there: There | None) -> Written:
    if there is None:
        return Written.ABSENT if isinstance(ask, MemoryDelete) else Written.WRITTEN
    if isinstance(ask, MemoryDelete):
        return Written.WRITTEN if there.live or there.version <= ask.above else Written.DELETED
    if there.live and ask.mode in (WriteMode.KEEP_LIVE, WriteMode.KEEP_ANY):
        return Written.EXISTS
    if not there.live and ask.mode is WriteMode.KEEP_ANY:
        return Written.DELETED
    return Written.WRITTEN


def _check(ask: MemoryWrite | MemoryDelete, there: There | None) -> None:
    live = there.version if there is not None and there.live else None
    if ask.expected_version is not None and ask.expected_version != _expectable(ask, there):
        raise VersionConflictError(ask.expected_version, live)
    if isinstance(ask, MemoryWrite) and ask.mode is WriteMode.UPDATE and live is None:
        raise MemoryNotFoundError


def _expectable(ask: MemoryWrite | MemoryDelete, there: There | None) -> int | None:
    """Return the version that may be expected: a live memory's, or that of a tombstone which is to be written anew."""
    if there is None:
        return None
    if there.live:
        return there.version
    if isinstance(ask, MemoryDelete):
        return there.version if there.version <= ask.above else None
    return there.version if ask.mode is WriteMode.REPLACE else None


def won(ask_id: str, former: There | None, after: Mapping[str, Any] | None) -> bool | None:
    """Say whether a conditional write took place, from what is there after it; None where that cannot be told.

    Every write remembers the ones before it. So one of ours is in the line of what is there; and where the line leads
    back to what we wanted to replace without us, we came too late.
    """
    if after is None:
        return None
    last, before = after["write_id"], after.get("before", ())
    if ask_id == last or ask_id[-_MARK:] in before:
        return True
    if former is None:
        return False if len(before) < _REMEMBERED else None
    return False if former.write_id == last or former.write_id[-_MARK:] in before else None
