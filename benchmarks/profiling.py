"""Where the time goes: seconds in truth, in the graph, and in this process."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from io import StringIO
from typing import Any, TypeVar

from benchmarks.results import Line, Section
from benchmarks.sides.service import Service
from benchmarks.workload import Workload

T = TypeVar("T")
TOP = 35


class Clock:
    """Wall seconds spent waiting for calls of the adapters, by their names."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, thing: Any, name: str, method: str) -> None:
        """Time every call of a method from now on."""
        call: Callable[..., Awaitable[Any]] = getattr(thing, method)
        label = f"{name}.{method}"
        self.seconds[label] = 0.0

        @wraps(call)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return await call(*args, **kwargs)
            finally:
                self.seconds[label] += time.perf_counter() - started

        setattr(thing, method, timed)


@asynccontextmanager
async def _watched(side: Service) -> AsyncIterator[Clock]:
    clock = Clock()
    adapters = side.memories._parts.adapters  # noqa: SLF001  # what a user does not see is what is measured here
    names = [(adapters.vector, "truth", m) for m in ("write", "write_many", "settle")]
    for thing, name, method in [*names, (adapters.graph, "graph", "apply")]:
        clock.watch(thing, name, method)
    yield clock
    for thing, _, method in [*names, (adapters.graph, "graph", "apply")]:
        delattr(thing, method)


async def profile(side: Service, writes: int, memories: int, seed: int) -> list[Section]:
    """Profile ``writes`` calls of ``store`` and one ``store_many`` of ``memories``."""
    work = Workload(seed)
    await side.empty()
    for item in work.items(200, "profile warm"):
        await side.store([item.fields()])
    async with _watched(side) as clock:
        single = work.items(writes, "profile single")
        stores = await _measured("store", clock, writes, lambda: _one_by_one(side, [i.fields() for i in single]))
        many = await side.ready(work.items(memories, "profile many"))
        bulk = await _measured("store_many", clock, memories, lambda: side.store_many(many))
    return [stores, bulk]


async def _one_by_one(side: Service, items: list[dict[str, Any]]) -> None:
    for fields in items:
        await side.store([fields])


async def _measured(name: str, clock: Clock, count: int, call: Callable[[], Awaitable[None]]) -> Section:
    clock.seconds.update(dict.fromkeys(clock.seconds, 0.0))
    started, cpu = time.perf_counter(), time.process_time()
    await call()
    wall, busy = time.perf_counter() - started, time.process_time() - cpu
    section = Section(f"profile_{name}", f"{name}: where the time of {count:,} memories goes")
    rows = {"all": wall, "CPU of this process": busy, **clock.seconds}
    section.lines = [
        Line(label, {"seconds": seconds, "ms_per_memory": seconds / count * 1000, "share": seconds / wall})
        for label, seconds in rows.items()
    ]
    return section


async def functions(side: Service, writes: int, seed: int) -> str:
    """Return the functions of this process in which ``writes`` calls of ``store`` spend most time of their own."""
    items = [item.fields() for item in Workload(seed).items(writes, "profile functions")]
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        await _one_by_one(side, items)
    finally:
        profiler.disable()
    out = StringIO()
    pstats.Stats(profiler, stream=out).sort_stats("tottime").print_stats(TOP)
    return out.getvalue()
