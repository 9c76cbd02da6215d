"""The graph's own clock, as far as it is known here: it decides whether a write comes too late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from persistence.errors import GraphUnavailableError, GraphWriteExpiredError

T = TypeVar("T")

#: Milliseconds by which the server's clock may be off the estimate before it is measured anew.
TOLERANCE = 1_000.0


def _local() -> float:
    """Return milliseconds of a clock that never jumps."""
    return time.monotonic() * 1_000


class ServerClock:
    """Estimates the server's milliseconds since 1970 from one measurement, within half a round trip of it."""

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._offset: float | None = None

    async def measure(self) -> None:
        """Ask the server for its time."""
        before = _local()
        now = await self._ask()
        self._offset = now - (before + _local()) / 2

    async def now(self) -> float:
        """Return the server's time, measured first where it is not known."""
        if self._offset is None:
            await self.measure()
        return _local() + (self._offset or 0.0)

    def compare(self, sent: float, now: int) -> None:
        """Forget the measurement where the server's ``now``, asked for at our ``sent``, does not agree with it."""
        if self._offset is None:
            return
        if not sent - TOLERANCE <= now <= _local() + self._offset + TOLERANCE:
            self._offset = None


async def in_time(call: Coroutine[Any, Any, T], seconds: float, server: str) -> T:
    """Await a write that nobody may wait for, nor find done, when its time has passed."""
    if seconds <= 0:
        call.close()
        raise GraphWriteExpiredError
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise GraphUnavailableError(f"{server} did not answer within {seconds:.1f} s.") from error
