"""The two gates through which every call on a store goes: deadline, retries, and for the graph the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from persistence.bounded import Calls
from persistence.breaker import Breaker
from persistence.errors import (
    DeadlineExceededError,
    GraphIdentityError,
    GraphStoreError,
    GraphUnavailableError,
    OutcomeUnknownError,
    VectorStoreError,
    VersionConflictError,
)
from persistence.log import get_logger
from persistence.ports.graph import GraphAck, GraphStore, GraphWrite
from persistence.ports.outbox import Key
from persistence.ports.vector import Resolution, VectorStore, WriteReceipt
from persistence.retry import Deadline, Retry
from persistence.sending import attempt

log = get_logger("gates")

#: Seconds for opening a graph that has come back, which makes its constraints.
MAKE_READY_TIME = 30.0
#: Seconds that a probe may take; a server that was just started is slow to answer its first call.
PROBE_TIME = 2.0

_NO_CONNECTION = "No connection to the vector store was to be had within the call's deadline; nothing was sent."
_REPLACED = (
    "The write was done and its acknowledgement lost; before it could be asked for again another one replaced it."
)
_ROOM = "repeat the call; where it happens often, raise pool_size or the server's limit of connections"

T = TypeVar("T")

Call = Callable[[], Coroutine[Any, Any, T]]


@dataclass(frozen=True, slots=True)
class Resendable:
    """A write of one memory that can be sent again. ``former_version``: what was there before, where it is known."""

    send: Call[WriteReceipt]
    write_id: UUID
    former_version: int | None = None


class TruthGate:
    """Calls on truth, within a deadline; repeated where the error says that nothing happened."""

    def __init__(self, store: VectorStore, calls: Calls, retry: Retry) -> None:
        self.store = store
        self._calls = calls
        self._retry = retry

    async def read(self, call: Call[T], deadline: Deadline) -> T:
        """Await a call that changes nothing. Raises DeadlineExceededError."""
        try:
            return await self._retry.within(deadline).call(self._bounded, call, deadline)
        except DeadlineExceededError:
            raise
        except TimeoutError as error:
            raise DeadlineExceededError("The vector store did not answer within the call's deadline.") from error

    def later(self, call: Call[Any], timeout: float) -> None:
        """Make a call that nobody waits for: it is seen to its end when the service closes."""
        self._calls.later(self._calls.run(call(), timeout))

    async def change(self, call: Call[T], deadline: Deadline) -> T:
        """Await a call that may change something. Raises OutcomeUnknownError where it may have happened.

        Where it never got a connection it has not: DeadlineExceededError.
        """
        try:
            return await self._retry.within(deadline).call(self._bounded, call, deadline)
        except DeadlineExceededError:
            raise
        except TimeoutError as error:
            raise OutcomeUnknownError("The vector store did not answer within the call's deadline.") from error

    async def write(self, key: Key, write: Resendable, deadline: Deadline) -> WriteReceipt:
        """Await the write of one memory; where its acknowledgement was lost, find out what became of it.

        Resending is safe: truth recognises the ``write_id`` of the write that it has. What that one replaced it cannot
        say any more, and the receipt says so.
        """
        try:
            return await self.change(write.send, deadline)
        except OutcomeUnknownError as error:
            found = await self._resolve(key, write, deadline)
            if found is Resolution.UNKNOWN:
                raise
            unknown = error
        try:
            return replace(await self.change(write.send, deadline), former=None, resent=True)
        except VectorStoreError as error:
            raise OutcomeUnknownError(unknown.message) from error
        except VersionConflictError as error:
            if found is not Resolution.WRITTEN:
                raise
            raise OutcomeUnknownError(_REPLACED) from error

    async def _resolve(self, key: Key, write: Resendable, deadline: Deadline) -> Resolution:
        if deadline.remaining() <= 0:
            return Resolution.UNKNOWN
        try:
            return await self.read(lambda: self.store.resolve(key, write.write_id, write.former_version), deadline)
        except (VectorStoreError, DeadlineExceededError):
            return Resolution.UNKNOWN

    async def _bounded(self, call: Call[T], deadline: Deadline) -> T:
        with attempt() as sending:
            try:
                return await self._calls.run(call(), deadline.remaining())
            except TimeoutError as error:
                if sending.nothing:
                    raise DeadlineExceededError(_NO_CONNECTION, hint=_ROOM) from error
                raise


class GraphRole(StrEnum):
    """What the graph of this process is to truth."""

    REGISTERED = "registered"
    """The graph of this truth: what it lacks is in the outbox."""
    LOCAL = "local"
    """A projection in this process's memory: it follows truth, and has no say over the outbox."""
    DISABLED = "disabled"
    """There is none."""


class GraphGate:
    """Calls on the graph, within a time; an outage opens the breaker, and then they are answered at once.

    ``prepare`` opens the graph and sees that it is the right one; nothing is sent before it has passed once.
    """

    def __init__(
        self,
        store: GraphStore | None,
        role: GraphRole,
        calls: Calls,
        retry: Retry,
        breaker: Breaker,
        prepare: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._store = store
        self.role = role
        self.breaker = breaker
        self._calls = calls
        self._retry = retry
        self._prepare = prepare
        self._preparing = asyncio.Lock()
        self.ready = False

    @property
    def store(self) -> GraphStore:
        """The graph. Raises GraphStoreError where there is none."""
        if self._store is None:
            raise GraphStoreError(
                "This service has no graph store.", hint="give a graph URL, such as neo4j://… or memory://"
            )
        return self._store

    async def make_ready(self, seconds: float) -> None:
        """Open the graph and check its identity, once. Raises GraphStoreError, and then the breaker is open."""
        try:
            await self._bounded(self._prepare_once(), seconds)
        except GraphStoreError:
            self.breaker.failed()
            raise

    async def _prepare_once(self) -> None:
        async with self._preparing:
            if not self.ready:
                await self._prepare()
                self.ready = True

    async def apply(self, writes: Sequence[GraphWrite], seconds: float) -> list[GraphAck]:
        """Apply writes within ``seconds``. Raises GraphStoreError, GraphUnavailableError for every kind of outage."""
        deadline = Deadline(seconds)

        def attempt(store: GraphStore) -> Coroutine[Any, Any, list[GraphAck]]:
            return store.apply(writes, timeout=deadline.remaining())

        return await self.ask(attempt, deadline)

    async def ask(self, call: Callable[[GraphStore], Coroutine[Any, Any, T]], deadline: Deadline) -> T:
        """Await a call on the graph, repeated within the deadline where that makes sense.

        A graph that was left alone is probed on the side when it is time to: there may be no relay that does it.
        """
        store = self.store
        if self.breaker.claim_probe():
            self._calls.later(self.probe(PROBE_TIME))
        self.breaker.check()
        if not self.ready:
            await self.make_ready(deadline.remaining())

        async def attempt() -> T:
            return await self._bounded(call(store), deadline.remaining())

        try:
            answer = await self._retry.within(deadline).call(attempt)
        except GraphUnavailableError:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        return answer

    async def probe(self, seconds: float) -> bool:
        """See whether the graph answers and is the right one, whatever the breaker says, and tell the breaker."""
        try:
            if not self.ready:
                await self.make_ready(max(seconds, MAKE_READY_TIME))
            await self._bounded(self.store.ping(), seconds)
        except GraphStoreError as error:
            self.breaker.failed()
            say = log.error if isinstance(error, GraphIdentityError) else log.debug
            say("The graph store was probed in vain.", action="probe", reason=error.message)
            return False
        self.breaker.succeeded()
        return True

    async def _bounded(self, call: Coroutine[Any, Any, T], seconds: float) -> T:
        try:
            return await self._calls.run(call, seconds)
        except TimeoutError as error:
            raise GraphUnavailableError(f"The graph store did not answer within {seconds:.1f} s.") from error
