"""The repair: brings the graph to what truth says as a check goes, batch by batch. A dry run has the same shape."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from persistence.ports.runs import Inconsistency, Kind
from sync.check import Check, Found
from sync.journal import Journal
from sync.mend import Mended, Mender, mendable
from sync.model import Strategy
from sync.orphans import Orphans


@dataclass(slots=True)
class Counts:
    """What a repair planned and did so far."""

    planned: int = 0
    repaired: int = 0
    refused: int = 0
    failed: int = 0
    orphans: dict[str, int] = field(default_factory=dict)

    def add(self, outcomes: Mapping[Inconsistency, Mended]) -> None:
        """Count what became of some."""
        for mended in outcomes.values():
            self.repaired += mended is Mended.REPAIRED
            self.failed += mended is Mended.FAILED
            self.refused += mended is Mended.REFUSED


@dataclass(slots=True)
class Repair:
    """One repair under way, on top of its check. ``apply`` False: a dry run. ``stage``: its name within a full sync."""

    check: Check
    journal: Journal
    orphans: Orphans
    strategy: Strategy
    apply: bool
    record: bool
    stage: str | None = None
    counts: Counts = field(default_factory=Counts)

    async def _checkpoint(self) -> None:
        """Save at once, so that a repair that dies does no more than one step twice."""
        saved = self.saved()
        await self.journal.checkpoint(
            saved if self.stage is None else {"stage": self.stage, self.stage: saved}, now=True
        )

    def saved(self) -> dict[str, Any]:
        """Return how far it is, as JSON."""
        self.counts.orphans = self.orphans.numbers
        return {**self.check.saved(), "repair": asdict(self.counts)}

    async def run(self) -> None:
        """Check, and mend what is found; at the end the orphans, when all of them are known."""
        mender = Mender(self.check.pair)
        async with aclosing(self.check.findings()) as steps:
            async for found in steps:
                await self._step(mender, found)
        await self._orphans(mender)

    async def _step(self, mender: Mender, found: Found) -> None:
        if not found.drift:
            return
        wanted = [one for one in found.drift if mendable(one, self.strategy)]
        self.counts.refused += len(found.drift) - len(wanted)
        orphans = [one for one in wanted if one.kind is Kind.ORPHAN]
        self.orphans.count(orphans)
        at_once = [one for one in wanted if one.kind is not Kind.ORPHAN]
        self.counts.planned += len(at_once)
        mend = self._mend(mender, found, at_once) if self.apply and at_once else None
        outcomes, _ = await asyncio.gather(mend or _nothing(), self.journal.record(found.drift if self.record else ()))
        await self._keep(outcomes)
        await self._checkpoint()

    async def _mend(
        self, mender: Mender, found: Found, drift: Sequence[Inconsistency]
    ) -> Mapping[Inconsistency, Mended]:
        loose = bool(found.edges or found.entities)
        return await (mender.cut(found.edges, found.entities) if loose else mender.mend(drift))

    async def _keep(self, outcomes: Mapping[Inconsistency, Mended]) -> None:
        self.counts.add(outcomes)
        await self.journal.resolve([one for one, mended in outcomes.items() if mended is Mended.REPAIRED])

    async def _orphans(self, mender: Mender) -> None:
        """Delete orphans, unless something could not be read: then nothing is deleted."""
        if not self.orphans.total:
            return
        await self.orphans.judge()
        if self.check.tally.unknown:
            self.counts.refused += self.orphans.total
            self.check.tally.note("Orphans were left alone, because not everything could be read.")
            return
        self.counts.refused += self.orphans.left
        self.counts.planned += self.orphans.total - self.orphans.left
        if self.apply and self.orphans.total > self.orphans.left:
            async with aclosing(self.orphans.delete(mender)) as pages:
                async for outcomes in pages:
                    await self._keep(outcomes)
                    await self._checkpoint()


async def _nothing() -> Mapping[Inconsistency, Mended]:
    return {}
