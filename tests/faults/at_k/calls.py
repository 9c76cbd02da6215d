"""The calls on both stores in one order, and what happens to the k-th of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Any

from persistence.errors import GraphUnavailableError, OutcomeUnknownError, VectorStoreUnavailableError
from tests.faults.proxies import Hook, Hooked
from tests.faults.simulator.ports import READS as KNOWN_READS

#: Calls on truth that change nothing: a lost answer of theirs is no unknown outcome.
READS = KNOWN_READS | {"tombstones"}


#: Calls whose time is their adapter's own (connecting), or as long as it takes (building an index): these do not hang
#: for ever, they fail.
TIMED = frozenset({"open", "info", "identify", "register_graph", "end_load"})


class Way(StrEnum):
    """What happens to a call."""

    BEFORE = "fails before"
    AFTER = "acknowledgement lost"
    HANG = "hangs to the deadline"
    CANCEL = "task cancelled"


class _Every(dict[str, Hook]):
    """One hook for every method."""

    def __init__(self, hook: Callable[[str, int], Awaitable[None]]) -> None:
        super().__init__()
        self._hook = hook

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002  # there is one for every name
        return partial(self._hook, name)


class Calls:
    """Counts the calls on both stores while ``armed``; the ``at``-th goes wrong in its way. 0: none does.

    ``hang``: what a call does that hangs.
    """

    def __init__(self, at: int, way: Way | None, hang: Callable[[], Awaitable[None]]) -> None:
        self.armed = False
        self.names: list[str] = []
        self.hit: str | None = None
        self.task: asyncio.Task[Any] | None = None
        self._at, self._way, self._hang = at, way, hang
        self._lost: tuple[str, str, int] | None = None

    def hooked(self, side: str, adapter: Any) -> Hooked:
        """Return a proxy of one of the two adapters."""
        proxy = Hooked(adapter)
        proxy.before, proxy.after = _Every(partial(self._before, side)), _Every(partial(self._after, side))
        return proxy

    async def _before(self, side: str, name: str, number: int) -> None:
        if not self.armed or name == "close":
            return
        self.names.append(f"{side}.{name}")
        if len(self.names) != self._at:
            return
        self.hit = self.names[-1]
        match self._way:
            case Way.BEFORE:
                raise VectorStoreUnavailableError if side == "truth" else GraphUnavailableError
            case Way.AFTER:
                self._lost = side, name, number
            case Way.HANG if name in TIMED:
                raise VectorStoreUnavailableError if side == "truth" else GraphUnavailableError
            case Way.HANG:
                await self._hang()
            case Way.CANCEL if self.task is not None:
                self.task.cancel()

    async def _after(self, side: str, name: str, number: int) -> None:
        if not self.armed or (side, name, number) != self._lost:
            return
        self._lost = None
        if side == "graph":
            raise GraphUnavailableError
        raise VectorStoreUnavailableError if name in READS else OutcomeUnknownError
