"""A check of nothing but what an earlier check found, each looked at afresh."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, InconsistencyQuery, Recorded
from sync.check import Check, Found
from sync.confirm import TOGETHER, confirm, loose
from sync.pair import UNREADABLE


@dataclass(slots=True)
class CheckOfRun(Check):
    """Looks again at the open inconsistencies of the check ``of_run``."""

    of_run: str = ""

    async def _to_do(self) -> list[AsyncGenerator[Found]]:
        return [self._recorded(), self._loose_again()] if self.depth is not Depth.QUICK else [self._recorded()]

    async def _pages(self) -> AsyncGenerator[list[Recorded]]:
        query, after = InconsistencyQuery(run_id=UUID(self.of_run), open=True), 0
        while page := await self.pair.truth(
            lambda store, after=after: store.inconsistencies(query, after=after, limit=TOGETHER)  # type: ignore[misc]  # mypy does not infer a default
        ):
            after = page[-1].number
            yield page

    async def _recorded(self) -> AsyncGenerator[Found]:
        async for page in self._pages():
            found = (row.inconsistency for row in page)
            keys = sorted({Key(one.user_id, one.memory_id) for one in found if one.memory_id is not None})
            try:
                quick = self.depth is Depth.QUICK
                yield Found(await (confirm(self.pair, keys) if quick else self._closely(keys)))
            except UNREADABLE as error:
                self._unreadable(error)
            self.tally.vector += len(keys)
            await self.checkpoint()

    async def _loose_again(self) -> AsyncGenerator[Found]:
        """Look through the entities for the loose ends that were found, and leave others to another check."""
        owners: set[Key] = set()
        entities: set[tuple[str, tuple[str, str] | None]] = set()
        async for page in self._pages():
            owners |= {Key(o.user_id, o.memory_id) for row in page if (o := row.inconsistency).memory_id is not None}
            entities |= {(o.user_id, o.entity) for row in page if (o := row.inconsistency).entity is not None}
        if not owners and not entities:
            return
        self.position.at = None
        async for found in self._entities():
            edges = [edge for edge in found.edges if Key(edge.user_id, edge.memory_id) in owners]
            orphans = [one for one in found.entities if (one.user_id, (one.type, one.key)) in entities]
            yield Found(loose(edges, orphans), edges, orphans)
