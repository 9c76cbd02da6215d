"""Runs that go on while whoever ordered them does something else: begun, watched, stopped, handed back at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from api.operating.order import Order, Report
from api.operating.status import StatusBoard
from persistence.errors import (
    InvalidInputError,
    PersistenceError,
    RunConflictError,
    ServiceClosedError,
    SyncError,
    TooManyRunsError,
)
from persistence.log import get_logger
from persistence.ports.runs import Run, RunState
from sync import AsyncSyncService, Progress
from sync.asked import Once, once_of
from sync.model import OnProgress

log = get_logger("desk")

#: Seconds between two looks at the record of a run.
LOOK_EVERY = 0.5
#: Seconds between two words of how far a run is.
TELL_EVERY = 0.1
#: Runs that one process leads at once.
MOST_LED = 16
#: The newest runs, among which one is looked for that was ordered under the same key.
REMEMBERED = 100


class _Under:
    """One run that this process leads: its task, and how far it is."""

    def __init__(self, carry: Callable[[OnProgress], Awaitable[Report]]) -> None:
        self.began: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()
        self.latest: Progress | None = None
        self.run: Run | None = None
        self.task = asyncio.create_task(self._carried(carry), name="diptych-run")

    async def _carried(self, carry: Callable[[OnProgress], Awaitable[Report]]) -> Report:
        return await carry(self._tell)

    def _tell(self, progress: Progress) -> None:
        """Take what the run says of itself."""
        self.latest = progress
        if not self.began.done():
            self.began.set_result(progress.run_id)

    @property
    def run_id(self) -> UUID | None:
        """The run's id, None until it is recorded."""
        return self.latest.run_id if self.latest else None


class Desk:
    """Leads runs in the background of one open service. ``close`` interrupts them: another process can take them up.

    A run that another process leads is watched by its record, so every method takes any run's id. On the desk lies the
    ``board``, which says how the stores stand.
    """

    def __init__(self, sync: AsyncSyncService, *, most: int = MOST_LED) -> None:
        self.sync = sync
        self.board = StatusBoard(sync.memories)
        self._most = most
        self._led: set[_Under] = set()
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closing = asyncio.Event()

    @property
    def leading(self) -> int:
        """The number of runs that go on here."""
        return len(self._led)

    async def begin(self, order: Order, *, among: str | None = None) -> Run:
        """Begin a run, and return as soon as it is recorded; or return the one that this order began before.

        That one is looked for among the newest runs, of the tenant ``among`` or of all. Raises RunConflictError,
        TooManyRunsError, SyncError; InvalidInputError, also where another order was given under the same key;
        ServiceClosedError where the desk is closing.
        """
        if order.once is None:
            return await self._begin(order)
        async with self._keys.setdefault(order.once.key, asyncio.Lock()):
            return await self._known(order.once, among) or await self._begin_once(order, order.once)

    async def resume(self, run_id: UUID) -> Run:
        """Take up a run that was left.

        Raises RunNotFoundError, RunEndedError, RunConflictError, TooManyRunsError, ServiceClosedError.
        """
        return await self._lead(lambda tell: self.sync.resume_run(run_id, progress=tell))

    async def ended(self, run_id: UUID, *, within: float) -> Run:
        """Return a run as soon as it has ended, or as it is after so many seconds. Raises RunNotFoundError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while True:
            run = await self.sync.get_run(run_id)
            left = until - loop.time()
            if run.state is not RunState.RUNNING or left <= 0 or self._closing.is_set():
                return run
            await self._pause(self._find(run_id), min(left, LOOK_EVERY))

    async def events(self, run_id: UUID) -> AsyncGenerator[Progress | Run]:
        """Yield how far a run is, each time it is further, and last the run as it ended. Raises RunNotFoundError.

        A run that another process leads is told by its record. When the desk closes, it ends without an end.
        """
        said: Progress | Run | None = None
        while True:
            led = self._find(run_id)
            now = await self.sync.get_run(run_id) if led is None else led.latest
            if now is not None and now != said:
                yield now
                said = now
            if isinstance(now, Run) and (now.state is not RunState.RUNNING or self._closing.is_set()):
                return
            await self._pause(led, LOOK_EVERY if led is None else TELL_EVERY)

    async def close(self) -> None:
        """Interrupt every run that is led here, and wait until each has given its lease back."""
        self._closing.set()
        tasks = [led.task for led in self._led]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.board.close()

    # --- how a run is begun ---------------------------------------------------------------------------------------

    async def _begin(self, order: Order) -> Run:
        if (other := await self._in_the_way(order)) is not None:
            scope = "all tenants" if other.user_id is None else f"the tenant {other.user_id!r}"
            raise RunConflictError(other, other.id, other.kind, scope)
        return await self._lead(lambda tell: order.carry(self.sync, tell))

    async def _in_the_way(self, order: Order) -> Run | None:
        """Return a run that goes on here and stands in the way: it is alive, and nobody need wait to see that."""
        for led in list(self._led):
            run = led.run
            if run is not None and run.kind is order.operation and _overlap(run.user_id, order.user_id):
                now = await self.sync.get_run(run.id)
                if now.state is RunState.RUNNING:  # else it has ended, and only its task is not over yet
                    return now
        return None

    async def _begin_once(self, order: Order, once: Once) -> Run:
        """Begin a run; where another process was quicker with the same order, return the run that it began."""
        try:
            return await self._begin(order)
        except RunConflictError as error:
            if isinstance(error.run, Run) and _same(error.run, once):
                return error.run
            raise

    async def _known(self, once: Once, among: str | None) -> Run | None:
        """Return the run that was begun under this key before."""
        runs = await self.sync.list_runs(user_id=among, limit=REMEMBERED)
        return next((run for run in runs if _same(run, once)), None)

    async def _lead(self, carry: Callable[[OnProgress], Awaitable[Report]]) -> Run:
        if self._closing.is_set():
            raise ServiceClosedError("The process is about to end and begins no runs.", hint="order it again later")
        if self.leading >= self._most:
            raise TooManyRunsError
        led = _Under(carry)
        # Known from the first moment on: whatever becomes of the caller, `close` waits for it.
        self._led.add(led)
        led.task.add_done_callback(lambda _: self._forget(led))
        led.run = await self.sync.get_run(await _recorded(led))
        return led.run

    def _forget(self, led: _Under) -> None:
        self._led.discard(led)
        if led.task.cancelled() or (error := led.task.exception()) is None:
            return
        if led.run_id is not None:
            _say(led.run_id, error)

    # --- how a run is watched -------------------------------------------------------------------------------------

    def _find(self, run_id: UUID) -> _Under | None:
        return next((led for led in self._led if led.run_id == run_id), None)

    async def _pause(self, led: _Under | None, seconds: float) -> None:
        """Wait so long, or until the run's task has ended, which closing the desk brings about."""
        if led is not None:
            await asyncio.wait({led.task}, timeout=seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


async def _recorded(led: _Under) -> UUID:
    """Return the run's id as soon as it is recorded; whoever no longer waits for that wants no run."""
    either: set[asyncio.Future[Any]] = {led.task, led.began}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        led.task.cancel()
        raise
    if led.began.done():
        return led.began.result()
    await led.task
    raise SyncError("A run ended before it was recorded.")


def _overlap(one: str | None, other: str | None) -> bool:
    """Say whether two runs are of one tenant, or one of them is of all."""
    return one is None or other is None or one == other


def _same(run: Run, once: Once) -> bool:
    """Say whether a run was begun under this key. Raises InvalidInputError where it was by another order."""
    before = once_of(run.request)
    if before is None or before.key != once.key:
        return False
    if before.digest != once.digest:
        raise InvalidInputError("Idempotency-Key", once.key, "it was given with another order before")
    return True


def _say(run_id: UUID, error: BaseException) -> None:
    """Say how a run ended that nobody awaits; a defect with all that is known of it."""
    if isinstance(error, PersistenceError):
        log.warning("A run did not come to its end.", action="run", run_id=str(run_id), reason=error.message)
    else:
        log.error("A run ended by a defect.", action="run", run_id=str(run_id), exc_info=error)
