"""What the code asks of the machine, answered from the seed: clocks, random bytes, threads.

The code takes its clocks as parameters whose defaults are the machine's (`Deadline`, `Breaker`, `Follower` …), and
reads others where they are only measured. For a run all of them are the loop's: the names in `time`, and every default
that was bound to one of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import anyio.to_thread

from tests.faults.simulator.loop import Loop

#: Seconds since 1970 when a simulated world begins (2026-01-01).
EPOCH = 1_767_225_600.0
OURS = ("persistence", "sync")


@contextmanager
def simulated(loop: Loop, seed: int) -> Iterator[None]:
    """Give the code this loop's time, this seed's randomness, and no threads."""
    real = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "time_ns")}
    virtual: dict[str, Callable[[], Any]] = dict.fromkeys(real, loop.time)
    virtual["time_ns"] = lambda: round(loop.time() * 1_000_000) * 1_000
    state, draw = random.getstate(), random.Random(seed)
    kept = (os.urandom, asyncio.to_thread, anyio.to_thread.run_sync)
    random.seed(seed)
    for name, clock in virtual.items():
        setattr(time, name, clock)
    os.urandom = draw.randbytes
    asyncio.to_thread = anyio.to_thread.run_sync = _inline  # type: ignore[assignment]  # the same, without a thread
    bound = _bound()
    for one in bound:
        one.exchange([(clock, virtual[name]) for name, clock in real.items()])
    try:
        yield
    finally:
        for one in bound:
            one.exchange([])
        os.urandom, asyncio.to_thread, anyio.to_thread.run_sync = kept
        for name, clock in real.items():
            setattr(time, name, clock)
        random.setstate(state)


#: Whether a store is at work: what it does it does at one moment.
_atomic = False


async def _inline(work: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Do work that would go to a thread; others may run before and after it."""
    if _atomic:
        return work(*args)
    await asyncio.sleep(0)
    answer = work(*args)
    await asyncio.sleep(0)
    return answer


def at_once(call: Any) -> Any:
    """Run a store's coroutine to its end at this very moment."""
    global _atomic  # noqa: PLW0603  # one thread, and no await inside
    _atomic = True
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    finally:
        _atomic = False
        call.close()
    raise AssertionError("a store in memory waited for something")


@dataclass(frozen=True, slots=True)
class _Bound:
    """A function with a clock among the defaults of its parameters, and what they are."""

    function: FunctionType
    defaults: tuple[Any, ...]
    named: dict[str, Any]

    def exchange(self, pairs: list[tuple[Any, Any]]) -> None:
        """Put other clocks in the place of those; none: what was there."""
        others = {id(old): new for old, new in pairs}
        self.function.__defaults__ = tuple(others.get(id(value), value) for value in self.defaults) or None
        self.function.__kwdefaults__ = {n: others.get(id(value), value) for n, value in self.named.items()} or None


@cache
def _bound() -> list[_Bound]:
    """Find them, once a process."""
    return [
        _Bound(function, function.__defaults__ or (), dict(function.__kwdefaults__ or {}))
        for function in _every_function()
        if _clocked(function)
    ]


def _clocked(function: FunctionType) -> bool:
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return any(getattr(value, "__module__", None) == "time" and callable(value) for value in defaults)


def _every_function() -> Iterator[FunctionType]:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in OURS:
            yield from _functions_of(module)


def _functions_of(place: ModuleType | type) -> Iterator[FunctionType]:
    for value in list(vars(place).values()):
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and isinstance(place, ModuleType) and value.__module__ == place.__name__:
            yield from _functions_of(value)
