"""An event loop whose time is virtual and whose order is a seed's: of what is ready, anything may come next.

Who is ready in what order is nobody's promise to the code above it, so here it is drawn. Time passes only when nothing
is ready. Every callback belongs to a process, which may be dead (then it is dropped) or stopped (then it is kept).
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from persistence.errors import PersistenceError
from sync.journal import RunStoppedError

T = TypeVar("T")

#: More callbacks than any run needs: something goes in circles.
STEPS = 400_000


class StuckError(Exception):
    """Nothing can ever happen any more, or too much happens and nothing ends."""


class Process:
    """One process of the simulated world: what its tasks are is known by the context that they run in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        self.parked: list[asyncio.Handle] = []


#: Which process the running code belongs to; None: the world itself.
PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, loop: Loop, name: str | None, context: Context | None
    ) -> None:
        loop.made += 1
        self._number = loop.made
        super().__init__(coro, loop=loop, name=name or f"t{loop.made}", context=context)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Loop(asyncio.AbstractEventLoop):
    """The loop. ``seed``: of the order. It waits for nothing outside of itself."""

    def __init__(self, seed: int, start: float) -> None:
        self._now = start
        self._draw = random.Random(seed).random
        self._ready: list[tuple[asyncio.Handle, Process | None]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process | None]] = []
        self._order = 0
        self._closed = False
        self.made = 0
        self.steps = 0
        self.tasks: list[SimTask] = []
        self.defects: list[dict[str, Any]] = []

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Drop all that was to come."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        task = SimTask(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append((handle, context.get(PROCESS)))
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._closed:
            self._order += 1
            heapq.heappush(self._timers, (when, self._order, timer, context.get(PROCESS)))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to do: one that is cancelled is skipped when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.defects.append(context)

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. Raises StuckError."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            result: T = task.result()
            return result
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        ready = self._ready
        if not ready:
            self._pass_time()
        place = int(self._draw() * len(ready))
        handle, process = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        if process is not None and process.dead:
            return
        if process is not None and process.stopped:
            process.parked.append(handle)
            return
        self.steps += 1
        if self.steps > STEPS:
            raise StuckError("it goes in circles")
        if not handle.cancelled():
            handle._run()

    def _pass_time(self) -> None:
        """Go on to the moment when the next timers are due."""
        timers = self._timers
        while timers:
            when, _, timer, process = heapq.heappop(timers)
            if timer.cancelled() or (process is not None and process.dead):
                continue
            self._now = max(self._now, when)
            self._ready.append((timer, process))
            while timers and timers[0][0] <= self._now:
                _, _, timer, process = heapq.heappop(timers)
                if not timer.cancelled():
                    self._ready.append((timer, process))
            return
        raise StuckError("everybody waits, and nothing will happen")

    def go_on(self, process: Process) -> None:
        """Let a stopped process run again: everything that it slept through happens now."""
        process.stopped = False
        self._ready += [(handle, process) for handle in process.parked]
        process.parked = []

    def complaints(self) -> list[str]:
        """Return what went wrong where nobody saw it: in callbacks, and in tasks that ended by a defect."""
        found = [f"{said.get('message')}: {said.get('exception')!r}" for said in self.defects]
        ended = [task for task in self.tasks if task.done() and not task.cancelled()]
        errors = [(task.get_name(), task.exception()) for task in ended]
        return found + [f"{name} ended by {error!r}" for name, error in errors if _is_defect(error)]


def _is_defect(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, PersistenceError | TimeoutError | RunStoppedError)
