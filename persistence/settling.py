"""Settling: entries whose memories are in step leave the outbox, in groups.

A group goes when it is large enough, when its oldest has waited long enough, and at the end. An entry not settled yet
counts as pending; if this process dies first, the relay finds the graph in step and settles it then.
"""

from __future__ import annotations

import asyncio

from persistence.bounded import Calls
from persistence.errors import PersistenceError
from persistence.log import get_logger
from persistence.ports.outbox import Settlement
from persistence.ports.vector import VectorStore

log = get_logger("settling")


class Settler:
    """Collects settlements and sends them to truth: at most ``batch`` at once, none later than ``delay`` seconds."""

    def __init__(self, truth: VectorStore, calls: Calls, *, batch: int, delay: float, timeout: float) -> None:
        self._truth = truth
        self._calls = calls
        self._batch = batch
        self._delay = delay
        self._timeout = timeout
        self._waiting: list[Settlement] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = asyncio.Lock()

    def add(self, settlements: list[Settlement]) -> None:
        """Settle these soon."""
        self._waiting += settlements
        if len(self._waiting) >= self._batch:
            self._send()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._send)

    def _send(self) -> None:
        self._stop_timer()
        self._calls.later(self.flush())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def flush(self) -> None:
        """Settle everything that waits. What cannot be settled is left to the relay."""
        self._stop_timer()
        async with self._flushing:
            while self._waiting:
                group, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                await self._settle(group)

    async def _settle(self, group: list[Settlement]) -> None:
        try:
            await self._calls.run(self._truth.settle(sorted(group)), self._timeout)
        except (PersistenceError, TimeoutError):
            log.warning("Entries in step could not be settled; the relay will.", action="settle", entries=len(group))
