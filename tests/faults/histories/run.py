"""One run: workers, storms and calms, and what the checker makes of what was recorded."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persistence import AsyncPersistenceService
from tests.faults.histories import calm, records
from tests.faults.histories.calm import StoresBehindPort
from tests.faults.histories.checker import judge
from tests.faults.histories.figures import Figures
from tests.faults.histories.nemesis import Nemesis, Site
from tests.faults.histories.processes import WorkerEndedError, working
from tests.faults.histories.proxy import Proxy
from tests.faults.histories.records import Key, Operation
from tests.faults.histories.worker import Spec
from tests.faults.stores import Stores

#: Settings of the workers' services. A pause has to outlast a lease, which is a call's deadline and 5 s; tombstones
#: are collected as early as may be, so that what they guard against is tried.
SETTINGS = {
    "batch_timeout": 4.0,
    "connect_timeout": 2.0,
    "batch_size": 4,
    "tombstone_age": 60.0,
    "run_lease": 5.0,
    "sync_timeout": 20.0,
}
LEASE_MARGIN = 5.0
#: Operations that have to succeed between faults that are told one by one.
ENOUGH = 20
#: Seconds of one storm, before it is calm for as long as it takes.
STORM = 30.0


@dataclass(frozen=True)
class Plan:
    """What a run is: for how long, by which seed, with how many workers.

    ``leases``: those of writers (beyond their calls) and of relays, in seconds; None: the product's. ``faults``: let
    these happen, one after another, instead of a storm.
    """

    seconds: float
    seed: int
    workers: int = 3
    storm: float = STORM
    leases: tuple[float, float] | None = None
    faults: tuple[str, ...] = ()
    write_timeout: float = 2.0
    sync_every: float = 5.0

    @property
    def lease(self) -> float:
        """The seconds for which what a writer was at is its own."""
        return self.write_timeout + (self.leases[0] if self.leases else LEASE_MARGIN)


async def run(plan: Plan, stores: Stores, servers: Servers, folder: Path, say: Callable[[str], None]) -> Figures:
    """Let workers work and the nemesis strike; return what came of it."""
    figures = Figures()
    async with stores.service() as memories, servers.behind_proxies(stores) as (truth, graph):
        async with working(_specs(plan, truth, graph, stores, folder)) as workers:
            pause = (plan.lease + 0.5, plan.lease + 2.0)
            nemesis = Nemesis(random.Random(plan.seed), workers, truth, graph, pause, done=figures.faults, log=say)
            try:
                await _Run(plan, nemesis, memories, stores, folder, figures, say).to_its_end()
            except* (WorkerEndedError, TimeoutError) as errors:
                figures.wrong += [str(error) or "it did not come in step in time" for error in errors.exceptions]
        figures.operations = records.read(folder)
        figures.judgement = judge(figures.operations, await calm.final(memories, _keys(figures.operations)))
    return figures


@dataclass(frozen=True)
class _Run:
    """Storms and calms, in turn."""

    plan: Plan
    nemesis: Nemesis
    memories: AsyncPersistenceService
    stores: Stores
    folder: Path
    figures: Figures
    say: Callable[[str], None]

    async def to_its_end(self) -> None:
        left = self.plan.seconds
        while left > 0 and not self.figures.wrong:
            await self._work()
            await self._storm(min(left, self.plan.storm))
            await self._calm()
            left -= self.plan.storm
        for worker in self.nemesis.workers:
            await worker.end()

    async def _work(self) -> None:
        for worker in self.nemesis.workers:
            worker.order("work")
        for worker in self.nemesis.workers:
            await worker.said("working")

    async def _storm(self, seconds: float) -> None:
        if self.plan.faults:
            await self.nemesis.once(self.plan.faults, self._more)
        else:
            await self.nemesis.storm(seconds)

    async def _more(self) -> None:
        """Wait until so many more operations have succeeded."""
        wanted = _succeeded(self.folder) + ENOUGH
        async with asyncio.timeout(calm.PATIENCE):
            while _succeeded(self.folder) < wanted:  # noqa: ASYNC110 - what the processes write is all they say
                await asyncio.sleep(0.05)

    async def _calm(self) -> None:
        """Wait until all is in step, from the moment when nothing is broken any more; then see whether it is."""
        began = time.monotonic()
        await calm.rested(self.nemesis.workers)
        await calm.in_step(self.memories)
        took = time.monotonic() - began
        self.figures.in_step_after.append(took)
        self.say(f"calm; in step after {took:.1f} s")
        self.figures.wrong += await calm.what_is_wrong(self.memories, _knowing(self.stores, self.folder))


def _succeeded(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"outcome": "ok"') for path in folder.glob("*.jsonl"))


def _specs(plan: Plan, truth: Site, graph: Site, stores: Stores, folder: Path) -> list[Spec]:
    settings = (*SETTINGS.items(), ("write_timeout", plan.write_timeout))
    first = Spec(
        truth.proxy.url,
        graph.proxy.url,
        stores.schema,
        str(folder),
        plan.seed,
        settings=settings,
        leases=plan.leases,
        sync_every=plan.sync_every,
    )
    return [replace(first, number=number) for number in range(plan.workers)]


def _knowing(stores: Stores, folder: Path) -> Stores:
    if isinstance(stores, StoresBehindPort):
        return replace(stores, known=tuple(_keys(records.read(folder))))
    return stores


def _keys(operations: Sequence[Operation]) -> set[Key]:
    return {operation.key for operation in operations if operation.do != "check"}


@dataclass(frozen=True)
class Servers:
    """The servers of a run, which it may stop and start."""

    truth: Any
    graph: Any

    @asynccontextmanager
    async def behind_proxies(self, stores: Stores) -> AsyncIterator[tuple[Site, Site]]:
        """Put a proxy before each server for the time of the block."""
        on_sql = stores.postgres.startswith("postgresql")
        async with Proxy(stores.postgres, 5432).serving() as before_truth, Proxy(stores.neo4j, 7687).serving() as other:
            die = self.truth.stop_at_once if on_sql else self.truth.kill
            yield (
                Site("truth", self.truth, before_truth, die),
                Site("graph", self.graph, other, self.graph.kill),
            )
