"""Runs that go on while whoever ordered them does something else: begun, watched, stopped, handed back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from api.operating.order import Order, Report
from persistence.errors import PersistenceError
from persistence.log import get_logger
from persistence.ports.runs import Run, RunState
from sync import AsyncSyncService, Progress
from sync.model import OnProgress

log = get_logger("desk")

#: Seconds between two looks at the record of a run.
LOOK_EVERY = 0.5


class _Under:
    """One run that this process leads: its task, and how far it is."""

    def __init__(self) -> None:
        self.began: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Report] | None = None
        self.latest: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """Take what the run says of itself."""
        self.latest = progress
        if not self.began.done():
            self.began.set_result(progress.run_id)


class Desk:
    """Leads runs in the background of one open service. ``close`` interrupts them: another process can take them up.

    A run that another process leads is watched by its record, so every method takes any run's id.
    """

    def __init__(self, sync: AsyncSyncService) -> None:
        self.sync = sync
        self._led: dict[UUID, _Under] = {}

    async def begin(self, order: Order) -> Run:
        """Begin a run, and return as soon as it is recorded. Raises RunConflictError, InvalidInputError, SyncError."""
        return await self._lead(lambda tell: order.carry(self.sync, tell))

    async def resume(self, run_id: UUID) -> Run:
        """Take up a run that was left. Raises RunNotFoundError, RunEndedError, RunConflictError."""
        return await self._lead(lambda tell: self.sync.resume_run(run_id, progress=tell))

    async def ended(self, run_id: UUID, *, within: float) -> Run:
        """Return a run as soon as it has ended, or as it is after so many seconds. Raises RunNotFoundError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while True:
            run = await self.sync.get_run(run_id)
            left = until - loop.time()
            if run.state is not RunState.RUNNING or left <= 0:
                return run
            await self._changed(run_id, min(left, LOOK_EVERY))

    async def events(self, run_id: UUID) -> AsyncIterator[Progress | Run]:
        """Yield how far a run is, each time it is further, and last the run as it ended. Raises RunNotFoundError."""
        said: Progress | Run | None = None
        while True:
            run = await self.sync.get_run(run_id)
            led = self._led.get(run_id)
            now = led.latest if led is not None and run.state is RunState.RUNNING else run
            if now is not None and now != said:
                yield now
                said = now
            if run.state is not RunState.RUNNING:
                return
            await self._changed(run_id, LOOK_EVERY)

    async def close(self) -> None:
        """Interrupt every run that is led here, and wait until each has given its lease back."""
        tasks = [led.task for led in self._led.values() if led.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _lead(self, carry: Callable[[OnProgress], Awaitable[Report]]) -> Run:
        led = _Under()
        led.task = task = asyncio.create_task(_carried(carry, led.tell), name="diptych-run")
        either: set[asyncio.Future[Any]] = {task, led.began}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not led.began.done():
            led.began.cancel()
            await task
            raise RuntimeError("A run ended before it was recorded.")
        run_id = led.began.result()
        self._led[run_id] = led
        task.add_done_callback(lambda _: self._ended(run_id, task))
        return await self.sync.get_run(run_id)

    def _ended(self, run_id: UUID, task: asyncio.Task[Report]) -> None:
        del self._led[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _say(run_id, error)

    async def _changed(self, run_id: UUID, seconds: float) -> None:
        """Wait a moment, or until the run's task has ended."""
        led = self._led.get(run_id)
        if led is None or led.task is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait({led.task}, timeout=seconds)


async def _carried(carry: Callable[[OnProgress], Awaitable[Report]], tell: OnProgress) -> Report:
    return await carry(tell)


def _say(run_id: UUID, error: BaseException) -> None:
    """Say how a run ended that nobody awaits; a defect with all that is known of it."""
    if isinstance(error, PersistenceError):
        log.warning("A run did not come to its end.", action="run", run_id=str(run_id), reason=error.message)
    else:
        log.error("A run ended by a defect.", action="run", run_id=str(run_id), exc_info=error)
