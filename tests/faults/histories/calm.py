"""After a storm: how long until both stores are in step by themselves, and whether they really are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from persistence import AsyncPersistenceService, PersistenceError
from persistence.ports.outbox import Key as StoreKey
from persistence.projection import Fragment, project
from sync import AsyncSyncService, Depth
from tests.faults.histories.checker import Seen
from tests.faults.histories.processes import WorkerProcess
from tests.faults.histories.records import Key
from tests.faults.stores import Stores

#: Seconds after which waiting ends: what a dead process had taken is its own for a minute, then others take it.
PATIENCE = 240.0


@dataclass(frozen=True)
class StoresBehindPort(Stores):
    """The same where truth is looked into by its adapter, having no SQL: at these memories, and those of the graph."""

    known: tuple[Key, ...] = ()

    async def truth(self) -> dict[StoreKey, tuple[int, int, Fragment | None]]:
        async with self.service() as memories:
            keys = {*map(StoreKey._make, self.known), *await self.nodes()}
            there = await memories.parts.truth.store.read(sorted(keys))
        found: dict[StoreKey, tuple[int, int, Fragment | None]] = {}
        for key, truth in there.items():
            memory = truth.memory
            found[key] = (memory.version, memory.digest, project(memory)) if memory else (truth.version or 0, 0, None)
        return found


async def rested(workers: Iterable[WorkerProcess]) -> None:
    """Order the workers to rest, and wait until they do; their relays go on."""
    for worker in workers:
        worker.order("rest")
    for worker in workers:
        await worker.said("resting")


async def in_step(memories: AsyncPersistenceService) -> None:
    """Wait until nothing is in doubt any more. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while (await _listed(memories)) != 0:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)


async def _listed(memories: AsyncPersistenceService) -> int | None:
    """Return how many memories are in doubt, dead ones included; None where it cannot be had."""
    try:
        stats = await memories.parts.truth.store.outbox_stats()
    except PersistenceError:
        return None
    return stats.pending + stats.dead


async def what_is_wrong(memories: AsyncPersistenceService, stores: Stores) -> list[str]:
    """Return what a full check finds, and what is found by comparing the graph with the projection of truth."""
    report = await AsyncSyncService(memories).check_consistency(Depth.FULL, limit=1_000)
    found = [f"the full check found {one}" for one in report.inconsistencies]
    if not (report.complete and report.in_step):
        found.append(f"the full check says complete={report.complete}, in_step={report.in_step}, {report.notes}")
    return found + await stores.differences()


async def final(memories: AsyncPersistenceService, keys: Iterable[Key]) -> dict[Key, Seen]:
    """Return what truth has of each memory that anybody wrote."""
    wanted = [StoreKey(*key) for key in sorted(set(keys))]
    there: dict[Any, Any] = await memories.parts.truth.store.read(wanted) if wanted else {}
    return {Key(*key): _seen(truth) for key, truth in there.items()}


def _seen(truth: Any) -> Seen:
    memory = truth.memory
    if memory is None:
        return Seen(truth.version, None)
    return Seen(memory.version, memory.content, memory.digest, memory.metadata["put"])
