"""The two truths of a move: each call within a deadline, retried where it makes sense, at the pace asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from persistence.assembly import CLOSE_TIME
from persistence.bounded import Calls
from persistence.gates import TruthGate
from persistence.ports.capabilities import Capability
from persistence.ports.vector import VectorStore
from persistence.retry import Deadline, Retry
from persistence.settings import PersistenceConfig
from sync.pair import Throttle

T = TypeVar("T")


class Stores:
    """A source, which is only read, and a target. To a comparison the one is truth, the other its copy."""

    def __init__(self, source: TruthGate, target: TruthGate, throttle: Throttle, seconds: float) -> None:
        self.source = source
        self.target = target
        self.throttle = throttle
        self._seconds = seconds

    @property
    def aggregates(self) -> tuple[bool, bool]:
        """Whether each of them can sum."""
        return (
            Capability.AGGREGATES in self.source.store.capabilities,
            Capability.AGGREGATES in self.target.store.capabilities,
        )

    async def truth(self, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on the source. Raises VectorStoreError, DeadlineExceededError."""
        return await self.source.read(lambda: call(self.source.store), Deadline(self._seconds))

    async def copy(self, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on the target that changes nothing."""
        return await self.target.read(lambda: call(self.target.store), Deadline(self._seconds))

    async def change(self, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
        """Await a call on the target that changes something. Raises OutcomeUnknownError besides."""
        return await self.target.change(lambda: call(self.target.store), Deadline(self._seconds))


@asynccontextmanager
async def stores(
    source: VectorStore, target: VectorStore, throttle: Throttle, config: PersistenceConfig
) -> AsyncIterator[Stores]:
    """Put gates before two open stores; calls that were left behind are seen to their end."""
    calls, retry = Calls(), Retry(config.retry_attempts, config.retry_delay)
    try:
        yield Stores(TruthGate(source, calls, retry), TruthGate(target, calls, retry), throttle, config.sync_timeout)
    finally:
        await calls.close(CLOSE_TIME)
