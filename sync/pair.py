"""Both stores as a run sees them: each call within a deadline, retried where it makes sense, at the pace asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from persistence.assembly import Parts
from persistence.errors import DeadlineExceededError, GraphStoreError, VectorStoreError
from persistence.gates import GraphRole
from persistence.ports.capabilities import Capability
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.retry import Deadline
from sync.model import Pace

T = TypeVar("T")

#: Seconds after which a run that waits for its pace looks whether it is to stop.
LOOK_EVERY = 1.0
#: What a store that cannot be read raises. It is never taken for an absence.
UNREADABLE = (VectorStoreError, GraphStoreError, DeadlineExceededError)


class Throttle:
    """Holds a run to its pace. ``look`` raises what speaks against waiting on; tests give ``sleep`` and ``clock``."""

    def __init__(
        self,
        pace: Pace,
        *,
        look: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace = pace
        self._look = look
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    async def rows(self, count: int) -> None:
        """Wait until ``count`` rows more fit into the pace; a page may take minutes, in which a run may be stopped."""
        if self._pace.rows_per_second is None or count <= 0:
            return
        self._free_at = until = max(self._free_at, self._clock()) + count / self._pace.rows_per_second
        while (left := until - self._clock()) > 0:
            await self._sleep(min(left, LOOK_EVERY))
            if left > LOOK_EVERY and self._look is not None:
                await self._look()

    async def answered(self, seconds: float) -> None:
        """Give a store that answered slowly as much rest as the answer took."""
        most = self._pace.max_response_ms
        if most is not None and seconds * 1_000 > most:
            await self._sleep(seconds)


class Pair:
    """The two stores of an open service, for one run."""

    def __init__(self, parts: Parts, throttle: Throttle, *, seconds: float) -> None:
        self.parts = parts
        self.throttle = throttle
        self._seconds = seconds

    @property
    def independent(self) -> bool:
        """Whether the graph is a copy of its own, not one that this process projects from truth."""
        return self.parts.graph.role is GraphRole.REGISTERED

    @property
    def aggregates(self) -> tuple[bool, bool]:
        """Whether truth, and whether the graph, can sum."""
        return (
            Capability.AGGREGATES in self.parts.truth.store.capabilities,
            Capability.AGGREGATES in self.parts.graph.store.capabilities,
        )

    async def truth(self, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on truth that changes nothing. Raises VectorStoreError, DeadlineExceededError."""
        gate = self.parts.truth
        return await self._timed(gate.read(lambda: call(gate.store), Deadline(self._seconds)))

    async def change(self, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on truth that changes something. Raises OutcomeUnknownError besides."""
        gate = self.parts.truth
        return await self._timed(gate.change(lambda: call(gate.store), Deadline(self._seconds)))

    async def graph(self, call: Callable[[GraphStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on the graph. Raises GraphStoreError."""
        return await self._timed(self.parts.graph.ask(call, Deadline(self._seconds)))

    async def copy(self, call: Callable[[GraphStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on what a scan compares truth with: the graph."""
        return await self.graph(call)

    async def _timed(self, call: Coroutine[Any, Any, T]) -> T:
        started = time.perf_counter()
        answer = await call
        await self.throttle.answered(time.perf_counter() - started)
        return answer
