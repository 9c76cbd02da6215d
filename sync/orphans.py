"""Memories that the graph has and truth has not: deleted only after a fresh look at truth, and only up to a cap.

Very many orphans are more often a truth that is not complete (an old copy, the wrong database) than a graph that is
wrong. So they are counted first, tenant by tenant, and above the cap they stay until someone says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from persistence.ports.runs import Inconsistency, InconsistencyQuery, Kind
from sync.journal import Journal
from sync.mend import Mended, Mender
from sync.model import ORPHANS_AT_MOST, ORPHANS_SHARE
from sync.pair import Pair

PAGE = 500


@dataclass(slots=True)
class Orphans:
    """The orphans of one run. They are kept as its inconsistencies; here they are only counted, by tenant."""

    pair: Pair
    journal: Journal
    force: bool
    numbers: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def count(self, found: Sequence[Inconsistency]) -> None:
        """Count orphans that were found and recorded."""
        for one in found:
            if one.kind is Kind.ORPHAN:
                self.numbers[one.user_id] = self.numbers.get(one.user_id, 0) + 1

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.numbers.values())

    @property
    def left(self) -> int:
        """How many stay, because they are too many."""
        return sum(self.numbers[user_id] for user_id in self.refused)

    @property
    def sentences(self) -> list[str]:
        """Why some stay, a sentence a tenant."""
        return list(self.refused.values())

    async def judge(self) -> None:
        """See which tenants have more orphans than may go."""
        if self.force:
            return
        for user_id, number in self.numbers.items():
            count = await self.pair.truth(lambda store, user_id=user_id: store.count(user_id))  # type: ignore[misc]  # mypy does not infer a default
            most = allowed(count.value or 0)
            if number > most:
                self.refused[user_id] = (
                    f"{number:,} orphans of the tenant {user_id!r} were left alone: {most:,} may go of"
                    f" {count.value or 0:,} memories. If truth is complete, force it: diptych repair --apply --force."
                )

    async def delete(self, mender: Mender) -> AsyncGenerator[Mapping[Inconsistency, Mended]]:
        """Delete those of the tenants that were not refused; yield what became of them, a page at a time."""
        after = 0
        while page := await self._page(after):
            after = page[-1][0]
            yield await mender.mend([one for _, one in page if one.user_id not in self.refused])

    async def _page(self, after: int) -> list[tuple[int, Inconsistency]]:
        query = InconsistencyQuery(kind=Kind.ORPHAN, run_id=self.journal.id)
        rows = await self.pair.truth(lambda store: store.inconsistencies(query, after=after, limit=PAGE))
        return [(row.number, row.inconsistency) for row in rows]


def allowed(memories: int) -> int:
    """Return how many orphans of a tenant may be deleted: a share of its memories, rounded up, up to a number."""
    return min(ORPHANS_AT_MOST, max(1, math.ceil(memories * ORPHANS_SHARE)))
