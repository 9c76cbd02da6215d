"""Moments as microseconds since 1970, the unit of versions, and identities in their order."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from persistence.errors import InvalidInputError

#: Says how many microseconds have passed since 1970.
Clock = Callable[[], int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: What Python's datetime can hold in UTC.
_MOMENTS = range(
    (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND,
    (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND + 1,
)
_RANDOM_BITS = 62


def now() -> int:
    """Return the time."""
    return time.time_ns() // 1_000


def later(moment: int, seconds: float) -> int:
    """Return the moment so many seconds after another."""
    return moment + round(seconds * 1_000_000)


def micros(moment: datetime) -> int:
    """Return a moment in microseconds. Refuses what is out of the calendar in UTC, since it could not be read back."""
    since = (moment - _EPOCH) // _MICROSECOND
    if since not in _MOMENTS:
        raise InvalidInputError("created_at", moment, "it must lie between the years 1 and 9999 in UTC")
    return since


def moment(since: int) -> datetime:
    """Return a moment as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=since)


def timed_uuid(since: int) -> uuid.UUID:
    """Return a UUID in the order of time: version 7, the fraction of the millisecond in the bits behind the version."""
    millis, fraction = divmod(since, 1_000)
    high = millis << 16 | 0x7 << 12 | fraction * 4096 // 1000
    return uuid.UUID(int=high << 64 | 0b10 << _RANDOM_BITS | uuid.uuid4().int & (1 << _RANDOM_BITS) - 1)
