"""Where a store's state is: shared by all that were given the same storage, changed one change at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from persistence.errors import VectorStoreUnavailableError
from persistence.ports.capabilities import Capability
from persistence.vector.memory.state import State, Transaction
from persistence.vector.memory.times import Clock, now

T = TypeVar("T")

#: Rows that are worked on upon the event loop; more of them go to a thread.
INLINE = 50


class Storage:
    """A state in this process's memory; it stays as long as this object does."""

    def __init__(self, *, clock: Clock = now) -> None:
        self.state = State()
        self.lock = threading.Lock()
        self._clock = clock

    @property
    def kind(self) -> str:
        """The backend's name."""
        return "memory"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What a store on it can do."""
        return frozenset({Capability.ATOMIC_BATCH, Capability.SNAPSHOT_READS, Capability.AGGREGATES})

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return "in this process"

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found damaged when it was opened, a sentence each."""
        return ()

    @property
    def weaknesses(self) -> list[str]:
        """What makes an acknowledged write less than durable, a sentence each."""
        return ["Everything is in the memory of this process, and is gone with it."]

    def now(self) -> int:
        """Return the time by which entries are due and leases end."""
        return self._clock()

    async def open(self) -> object:
        """Make it usable; the answer goes into ``close``."""
        return object()

    async def close(self, token: object) -> None:
        """Let it go."""

    async def view(self, work: Callable[[State], T], size: int | None = None) -> T:
        """Read the state: at once where there is little to do and nobody is at it, else in a thread, which may wait."""
        if size is not None and size <= INLINE and self.lock.acquire(blocking=False):
            try:
                return work(self.state)
            finally:
                self.lock.release()
        return await asyncio.to_thread(self._viewed, work)

    async def commit(self, work: Callable[[Transaction], T], size: int, *, durable: bool = True) -> T:
        """Change the state: everything that ``work`` puts into its transaction, or, where it raises, nothing.

        ``durable`` False: the change may be forgotten by a crash of the machine, and is then made once more.
        """
        del durable  # nothing here outlives the process
        if size <= INLINE and self.lock.acquire(blocking=False):
            try:
                return self._changed(work)
            finally:
                self.lock.release()
        return await asyncio.to_thread(self._locked, work)

    def _viewed(self, work: Callable[[State], T]) -> T:
        with self.lock:
            return work(self.state)

    def _locked(self, work: Callable[[Transaction], T]) -> T:
        with self.lock:
            return self._changed(work)

    def _changed(self, work: Callable[[Transaction], T]) -> T:
        tx = self.begin()
        answer = work(tx)
        self.state.apply(tx.effects)
        return answer

    def begin(self) -> Transaction:
        """Return a transaction, under the lock."""
        return Transaction(self.state, self._clock())


class Part:
    """A part of the store: what its methods need."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token: object | None = None

    def _open(self) -> Storage:
        """Return the storage. Raises VectorStoreUnavailableError where the store is not open."""
        if self._token is None:
            raise VectorStoreUnavailableError("The vector store is not open.", hint="open it first")
        return self._storage
