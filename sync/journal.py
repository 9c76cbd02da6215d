"""The durable side of a run: its lease is kept alive, its cursor saved, a wish to stop it heard."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from persistence.errors import LeaseLostError, PersistenceError, RunConflictError
from persistence.gates import TruthGate
from persistence.log import get_logger
from persistence.ports.runs import Depth, Inconsistency, Run, RunKind, RunState
from persistence.retry import Deadline

log = get_logger("sync")

#: Seconds that one call on the journal may take.
JOURNAL_TIME = 30.0
#: Seconds that a run whose call was cancelled has for saying so: whoever ends may have to end soon. Its lease runs out.
LEAVING_TIME = 5.0
#: A lease is renewed this often in its time.
RENEWALS = 3
#: Seconds between two looks at a run that is in the way.
POLL = 0.5
#: Seconds between two saves of a cursor that need not be exact.
SAVE_EVERY = 1.0


class RunStoppedError(Exception):
    """The run was asked to stop; raised at the next point where it can."""


class Journal:
    """One run while it is held by this process. Made by ``begun`` and ``resumed``."""

    def __init__(self, truth: TruthGate, run: Run, lease: float) -> None:
        self.run = run
        self._truth = truth
        self._lease = lease
        self._stop = False
        self._lost: LeaseLostError | None = None
        self._saved_at = 0.0
        self._held = Deadline(0.0)

    @property
    def id(self) -> uuid.UUID:
        """The run's id."""
        return self.run.id

    async def checkpoint(self, cursor: Mapping[str, Any], *, now: bool = False) -> None:
        """Say how far the run is; saved at once where ``now``, else about once a second.

        Raises LeaseLostError, RunStoppedError.
        """
        self.check()
        if now or time.monotonic() - self._saved_at >= SAVE_EVERY:
            await self.save(cursor)
            self.check()

    def check(self) -> None:
        """Raise what speaks against going on."""
        if self._lost is not None:
            raise self._lost
        if self._stop:
            raise RunStoppedError

    def held_for(self) -> float:
        """Return the seconds for which nobody can have taken the run over since the last save, at least."""
        return self._held.remaining()

    async def look(self) -> None:
        """Raise what speaks against going on, as the record says now: for a run that waits and saves nothing."""
        await self._renew()
        self.check()

    async def save(self, cursor: Mapping[str, Any]) -> None:
        """Save how far the run is, whatever was asked of it meanwhile."""
        store, run, held = self._truth.store, self.run, Deadline(self._lease)
        call = lambda: store.save_run(run.id, run.token, cursor, lease=self._lease)  # noqa: E731  # named for one line
        self._stop |= await self._truth.change(call, Deadline(JOURNAL_TIME))
        self._saved_at, self._held = time.monotonic(), held

    async def record(self, found: Sequence[Inconsistency]) -> None:
        """Keep what was found."""
        if found:
            store, run = self._truth.store, self.run
            await self._truth.change(lambda: store.record(run.id, run.token, found), Deadline(JOURNAL_TIME))

    async def resolve(self, mended: Sequence[Inconsistency]) -> None:
        """Mark what was mended."""
        if mended:
            store, run = self._truth.store, self.run
            await self._truth.change(lambda: store.resolve_mended(run.id, run.token, mended), Deadline(JOURNAL_TIME))

    async def resolve_unseen(self, depth: Depth, since: datetime) -> None:
        """Mark what a complete check no longer found."""
        store, run = self._truth.store, self.run
        await self._truth.change(
            lambda: store.resolve_unseen(run.id, run.token, run.user_id, depth, since), Deadline(JOURNAL_TIME)
        )

    async def finish(self, state: RunState, report: Mapping[str, Any], *, within: float = JOURNAL_TIME) -> None:
        """End the run, or leave it to be resumed, ``within`` so many seconds."""
        store, run = self._truth.store, self.run
        self.run = await self._truth.change(
            lambda: store.finish_run(run.id, run.token, state, report), Deadline(within)
        )

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the lease alive in the block."""
        beat = asyncio.create_task(self._beat(), name="diptych-lease")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.wait({beat})

    async def _beat(self) -> None:
        while self._lost is None:
            await asyncio.sleep(self._lease / RENEWALS)
            await self._renew()

    async def _renew(self) -> None:
        """Keep the lease, and hear whether the run is to stop."""
        store, run = self._truth.store, self.run
        try:
            self._stop |= await self._truth.change(
                lambda: store.renew_run(run.id, run.token, lease=self._lease), Deadline(JOURNAL_TIME)
            )
        except LeaseLostError as error:
            self._lost = error
        except PersistenceError as error:
            # Whoever takes the run over meanwhile does no harm; the next save says so.
            log.warning("A run's lease could not be renewed.", action="renew_run", reason=error.message)


async def begun(
    truth: TruthGate, kind: RunKind, user_id: str | None, request: Mapping[str, Any], lease: float
) -> Journal:
    """Begin a run. Raises RunConflictError where another is under way."""
    holder = uuid.uuid4()
    begin = lambda: truth.store.begin_run(kind, user_id, request, holder=holder, lease=lease)  # noqa: E731
    return Journal(truth, await _patiently(truth, begin, lease), lease)


async def resumed(truth: TruthGate, run_id: uuid.UUID, lease: float) -> Journal:
    """Take a run up where it was left. Raises RunNotFoundError, RunConflictError, RunEndedError."""
    holder = uuid.uuid4()
    resume = lambda: truth.store.resume_run(run_id, holder=holder, lease=lease)  # noqa: E731
    return Journal(truth, await _patiently(truth, resume, lease), lease)


async def _patiently(truth: TruthGate, call: Callable[[], Coroutine[Any, Any, Run]], lease: float) -> Run:
    """Await a call; where a run stands in its way, wait as long as that one's lease is not renewed.

    A run that died stops renewing its lease, and one that lives does it within a third of its time.
    """
    seen: datetime | None = None
    deadline = Deadline(lease * 2)
    while True:
        try:
            return await truth.change(call, Deadline(JOURNAL_TIME))
        except RunConflictError as error:
            expires = error.run.lease_expires_at if isinstance(error.run, Run) else None
            if expires is None or deadline.remaining() <= 0 or (seen is not None and expires > seen):
                raise
            seen = expires
        await asyncio.sleep(min(lease / RENEWALS, POLL))
