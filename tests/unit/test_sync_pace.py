"""The pace of a run, on a clock of the test's own."""

from __future__ import annotations

import pytest

from sync.journal import RunStoppedError
from sync.model import Pace
from sync.pair import Throttle


class Clock:
    """Goes on only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_a_page_is_waited_for_in_small_steps():
    """Whatever a page takes at the pace asked for, no step is longer than a second."""
    clock, looks = Clock(), []

    async def look() -> None:
        looks.append(clock.now)

    throttle = Throttle(Pace(rows_per_second=20), look=look, clock=clock, sleep=clock.sleep)
    await throttle.rows(300)
    assert (clock.now, max(clock.slept), len(looks)) == (115.0, 1.0, 14)


async def test_waiting_ends_where_the_run_is_to_stop():
    """A run that is asked to stop while it waits for its pace stops within a second, not after the page."""
    clock = Clock()

    async def look() -> None:
        raise RunStoppedError

    throttle = Throttle(Pace(rows_per_second=20), look=look, clock=clock, sleep=clock.sleep)
    with pytest.raises(RunStoppedError):
        await throttle.rows(300)
    assert clock.now == 101.0
