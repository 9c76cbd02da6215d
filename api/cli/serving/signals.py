"""SIGTERM and SIGINT for a process that serves: the first one asks it to come to its end, the second to hurry."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Starting:
    """What a signal does: while the process starts it gives that up, after that it is told to ``come``."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._come: Callable[[], None] | None = None
        self.given_up = False

    def done(self, come: Callable[[], None]) -> None:
        """Say that the process has started, and what a signal does from now on."""
        self._come = come

    def signalled(self) -> None:
        """Take a signal."""
        if self._come is not None:
            self._come()
        elif self._task is not None and not self.given_up:
            self.given_up = True
            self._task.cancel()


@asynccontextmanager
async def until_signalled() -> AsyncIterator[Starting]:
    """Take the signals inside the block; that a start was given up by one is an end like any other.

    After the block nothing is left to be done but to exit, so a signal that comes late changes nothing.
    """
    loop = asyncio.get_running_loop()
    starting = Starting()
    for number in _SIGNALS:
        loop.add_signal_handler(number, starting.signalled)
    try:
        yield starting
    except asyncio.CancelledError:
        if not starting.given_up:
            raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
