"""Times of calls, taken in turns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Any

Call = Callable[[], Awaitable[Any]]
Seconds = dict[str, list[float]]


async def timed(call: Call) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


async def in_turns(calls: Mapping[str, Call], repetitions: int) -> Seconds:
    """Time calls in turns (ABCABC…), after one turn that is not counted."""
    for call in calls.values():
        await call()
    seconds: Seconds = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            seconds[name].append(await timed(call))
    return seconds


def medians(seconds: Seconds) -> dict[str, float]:
    """Return the median of each."""
    return {name: median(taken) for name, taken in seconds.items()}
