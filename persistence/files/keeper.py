"""The thread in which a file store is changed, one change after another: decided, written to the log, then done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from persistence.errors import PersistenceError
from persistence.files.policy import FilePolicy
from persistence.files.source import Capture, Faults, Source
from persistence.files.vault import Vault
from persistence.log import get_logger

log = get_logger("files")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A change that was decided: what the log has to say of it (nothing: it changes nothing), and how it is done."""

    payload: bytes
    finish: Callable[[], T]


class Keeper:
    """Keeps a store in its files. What is not in the log is not done, and what is done is in the log.

    All of it happens in a thread of the keeper's own, so a caller that is cancelled leaves nothing half done. Those who
    share the store hold it, each by a token; the files are open while anybody does.
    """

    def __init__(self, path: Path, source: Source, policy: FilePolicy, faults: Faults) -> None:
        self._source = source
        self._policy = policy
        self._vault = Vault(path, source, policy, faults)
        self._faults = faults
        self._holders: set[object] = set()
        # Idle threads; they end with the keeper.
        self._thread = ThreadPoolExecutor(1, "diptych-files")
        self._writer = ThreadPoolExecutor(1, "diptych-snapshot")
        self._persisting: Future[None] | None = None
        self._timer: threading.Timer | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found damaged when the store was opened, a sentence each."""
        return tuple(self._vault.notices)

    async def open(self) -> object:
        """Load the store, if nobody has it open; return the token by which it is held."""
        token = object()
        try:
            await self._run(lambda: self._open(token))
        except asyncio.CancelledError:
            self._thread.submit(self._close, token)
            raise
        return token

    async def commit(self, decide: Callable[[], Step[T]], *, durable: bool = True) -> T:
        """Decide on a change, keep it, do it. Raises what ``Vault.append`` does; then it was not done."""
        return await self._run(lambda: self._commit(decide, durable=durable))

    async def persist(self) -> None:
        """Write a snapshot now, and wait for it. Raises OSError."""
        await asyncio.wrap_future(await self._run(self._begin))

    async def close(self, token: object) -> None:
        """Let go of the store; with the last holder its files are closed, after all changes that are under way."""
        await asyncio.shield(asyncio.ensure_future(self._run(lambda: self._close(token))))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self, token: object) -> None:
        if not self._holders:
            self._vault.open()
            for notice in self._vault.notices:
                log.warning(notice, action="open")
        self._holders.add(token)
        self._persist_if_due()

    def _commit(self, decide: Callable[[], Step[T]], *, durable: bool) -> T:
        if not self._holders:
            raise self._closed()
        step = decide()
        if step.payload:
            self._vault.append(step.payload, durable=durable)
        answer = step.finish()
        if step.payload:
            self._sync_later()
            self._persist_if_due()
        return answer

    def _closed(self) -> PersistenceError:
        return self._faults.unavailable("The store is not open.", hint="open it first")

    def _close(self, token: object) -> None:
        if token not in self._holders:
            return
        self._holders.discard(token)
        if not self._holders:
            if self._timer is not None:
                self._timer.cancel()
            if self._persisting is not None:
                wait([self._persisting])
            self._vault.close()

    # --- snapshots, and what the policy "interval" promises -----------------------------------------------------------

    def _persist_if_due(self) -> None:
        if self._vault.due and (self._persisting is None or self._persisting.done()):
            try:
                self._persisting = self._begin()
            except OSError as error:
                log.warning(
                    "A new log could not be begun; the former one goes on.", action="persist", reason=str(error)
                )

    def _begin(self) -> Future[None]:
        """Turn to the next log and write the store as it is at this moment, on the side."""
        if not self._holders:
            raise self._closed()
        number = self._vault.turn()
        return self._writer.submit(self._persist, number, self._source.capture())

    def _persist(self, number: int, capture: Capture) -> None:
        """Where it fails, the former snapshot and the logs since still say everything."""
        try:
            self._vault.persist(number, capture)
        except OSError as error:
            log.warning("A snapshot could not be written; the former one stays.", action="persist", reason=str(error))
            raise
        finally:
            capture.close()

    def _sync_later(self) -> None:
        if self._policy.fsync == "interval" and self._timer is None:
            self._timer = threading.Timer(self._policy.fsync_every, self._sync_now)
            self._timer.daemon = True
            self._timer.start()

    def _sync_now(self) -> None:
        self._timer = None
        self._thread.submit(self._sync)

    def _sync(self) -> None:
        try:
            self._vault.sync()
        except OSError as error:
            log.error("The disk failed; nothing more is written.", action="sync", reason=str(error))  # noqa: TRY400  # said
