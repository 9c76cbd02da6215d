"""Counts of Qdrant that end."""

from __future__ import annotations

import pytest

from persistence.results import Count
from persistence.vector.qdrant.counting import bounded


class Counting:
    """Has so many points, and says how it was asked about them."""

    def __init__(self, there: int) -> None:
        self.there = there
        self.exactly = 0

    async def count(self, _: str, __: object, *, exact: bool = True) -> int:
        self.exactly += exact
        return self.there if exact else self.there + 1


@pytest.mark.parametrize(
    ("there", "counted", "exactly"),
    [(3, Count(3, exact=True), 1), (15, Count(15, exact=False), 1), (1_000, Count(1_001, exact=False), 0)],
)
async def test_only_what_is_near_the_bound_is_counted(there, counted, exactly):
    """Clearly above the bound the estimate stands for the number, and nobody counts one by one."""
    engine = Counting(there)
    assert await bounded(engine, "points", [], 10) == counted
    assert engine.exactly == exactly
