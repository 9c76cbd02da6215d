"""Calls that answer in time, whatever the thing called does.

A driver may need seconds to clean up after a time-out (to ask a frozen server to cancel, say). The caller does not
wait for that: its call is cancelled and left to finish in the background, where it is kept hold of until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from persistence.log import get_logger

T = TypeVar("T")

log = get_logger("calls")

#: Seconds after which a call that was cancelled is cancelled again.
CANCEL_AGAIN = 2.0


def being_cancelled() -> bool:
    """Whether somebody has asked the current task to end.

    A CancelledError where this is False came from something that the task awaits, and is that thing's failure alone.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Calls:
    """The calls of one service: each is given a time, all are seen to their end at ``close``."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, call: Coroutine[Any, Any, T], timeout: float) -> T:
        """Await ``call`` for ``timeout`` seconds at most. Raises TimeoutError at the latest then."""
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            self._leave(task)
            raise
        if not done:
            self._leave(task)
            raise TimeoutError
        return task.result()

    def later(self, call: Coroutine[Any, Any, Any]) -> None:
        """Let ``call`` run on its own; a failure is logged, ``close`` waits for it."""
        self._keep(asyncio.ensure_future(call))

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Cancel a call, and once more where that does not end it.

        A driver that is cancelled asks its server to stop, and waits for the answer. Where the server has not begun by
        then, it overlooks that and goes on, behind somebody's lock for a minute: then the connection is given up.
        """
        task.cancel()
        again = asyncio.get_running_loop().call_later(CANCEL_AGAIN, task.cancel)
        task.add_done_callback(lambda _: again.cancel())
        self._keep(task)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._left.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug(
                "A call that nobody waited for any more failed.", action="abandoned_call", error=type(error).__name__
            )

    async def close(self, timeout: float) -> None:
        """Wait for what is left, then cancel it."""
        if self._left:
            await asyncio.wait(set(self._left), timeout=timeout)
        for task in self._left:
            task.cancel()
        if self._left:
            await asyncio.wait(set(self._left), timeout=timeout)
