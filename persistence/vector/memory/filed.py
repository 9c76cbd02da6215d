"""A state that is kept in files: every change is in the log before it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from persistence.errors import OutcomeUnknownError, VectorStoreError, VectorStoreUnavailableError
from persistence.files import Faults, FilePolicy, Keeper, Step
from persistence.ports.capabilities import Capability
from persistence.vector.memory.encoding import FORMAT, load, parsed, to_bytes
from persistence.vector.memory.images import Captured
from persistence.vector.memory.migrations import migrated
from persistence.vector.memory.state import State, Transaction
from persistence.vector.memory.storage import Storage
from persistence.vector.memory.times import Clock, now

T = TypeVar("T")


class FileStorage(Storage):
    """A state in the folder ``path``. One process at a time has it; stores that share it are given the same object."""

    def __init__(self, path: Path, policy: FilePolicy | None = None, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self._path = path
        self._fsync = (policy or FilePolicy()).fsync
        faults = Faults(VectorStoreError, VectorStoreUnavailableError, OutcomeUnknownError)
        self._keeper = Keeper(path, _Content(self), policy or FilePolicy(), faults)

    @property
    def kind(self) -> str:
        return "file"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities | {Capability.DURABLE}

    @property
    def place(self) -> str:
        return f"in {self._path}"

    @property
    def notices(self) -> tuple[str, ...]:
        return self._keeper.notices

    @property
    def weaknesses(self) -> list[str]:
        if self._fsync == "always":
            return []
        return [f"file_fsync is {self._fsync}: a crash of the machine can lose writes that were acknowledged."]

    async def open(self) -> object:
        return await self._keeper.open()

    async def close(self, token: object) -> None:
        await self._keeper.close(token)

    async def persist(self) -> None:
        """Write a snapshot of the files now. Raises OSError: the former one stays."""
        await self._keeper.persist()

    async def commit(self, work: Callable[[Transaction], T], size: int, *, durable: bool = True) -> T:
        del size  # always in the keeper's thread: the disk is waited for there
        return await self._keeper.commit(lambda: self._decided(work), durable=durable)

    def _decided(self, work: Callable[[Transaction], T]) -> Step[T]:
        with self.lock:
            tx = self.begin()
            answer = work(tx)
        return Step(to_bytes(tx.effects), lambda: self._done(tx, answer))

    def _done(self, tx: Transaction, answer: T) -> T:
        with self.lock:
            self.state.apply(tx.effects)
        return answer


class _Content:
    """The state as its files see it."""

    kind = "truth"
    format = FORMAT

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def clear(self) -> None:
        self._storage.state = State()

    def load(self, version: int, payload: bytes) -> None:
        load(self._storage.state, migrated(version, parsed(payload)))

    def capture(self) -> Captured:
        return Captured(self._storage)
