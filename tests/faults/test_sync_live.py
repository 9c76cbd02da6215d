"""Checks, repairs and rebuilds while four writers go on: no false alarm, and nothing that was written is lost."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter

import pytest

from persistence import AsyncPersistenceService, Key
from sync import AsyncSyncService, CheckReport, Depth
from tests.faults.drifts import fill
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, BOB, Stores, draft

WRITERS, IDS = 4, 40
#: Memories that nobody writes, so that checks and rebuilds have something to go through.
STILL = 400


class Writer:
    """Stores, updates and deletes memories of its own and remembers what was acknowledged."""

    def __init__(self, memories: AsyncPersistenceService, number: int, seed: int) -> None:
        self._memories = memories
        self._rng = random.Random(seed + number)
        self._prefix = f"w{number}-"
        self.expected: dict[Key, str | None] = {}
        self.operations = 0

    async def run(self, until: float) -> None:
        """Write until the time is over."""
        while time.monotonic() < until:
            await self._one()
            self.operations += 1

    async def _one(self) -> None:
        number, user = self._rng.randrange(IDS), self._rng.choice([ALICE, BOB])
        key = Key(user, f"{self._prefix}{number:04}")
        content = f"version {self.operations} of {key.id}"
        action = self._rng.random()
        if action < 0.25:
            await self._memories.delete(key.id, user_id=user)
            self.expected[key] = None
        elif action < 0.5 and self.expected.get(key) is not None:
            await self._memories.update(key.id, user_id=user, content=content)
            self.expected[key] = content
        elif action < 0.6:
            numbers = self._rng.sample(range(IDS), 8)
            items = [draft(n, user_id=user, prefix=self._prefix, content=content) for n in numbers]
            await self._memories.store_many(items)
            self.expected |= {Key(user, item["id"]): content for item in items}
        else:
            shown = draft(self._rng.randrange(1_000), user_id=user, id=key.id, content=content)
            await self._memories.store(**shown)
            self.expected[key] = content

    async def assert_kept(self) -> None:
        """Fail where truth has something else than what was acknowledged last."""
        for key, content in self.expected.items():
            memory = await self._memories.get(key.id, user_id=key.user_id)
            assert (memory.content if memory else None) == content, key


async def _checks(sync: AsyncSyncService, until: float) -> list[CheckReport]:
    reports = []
    depths = list(Depth)
    while time.monotonic() < until:
        users = [None, ALICE, BOB]
        depth, user = depths[len(reports) % 3], users[len(reports) // 3 % 3]
        reports.append(await sync.check_consistency(depth, user_id=user))
    return reports


async def _rebuilds(sync: AsyncSyncService, until: float) -> Counter[str]:
    done: Counter[str] = Counter()
    while time.monotonic() < until:
        report = await sync.rebuild_graph(user_id=[None, ALICE, BOB][done["rebuilds"] % 3])
        assert (report.complete, report.removed, report.refused) == (True, 0, 0)
        done["rebuilds"] += 1
        mended = await sync.repair_inconsistencies(Depth.STRUCTURE, dry_run=False)
        assert (mended.check.complete, mended.planned) == (True, 0)
        done["repairs"] += 1
    return done


async def _live(stores: Stores, seconds: float) -> None:
    seed = 20
    sys.stdout.write(f"seed {seed}\n")
    async with stores.service(enable_relay=True, pool_size=16, sync_batch=100, write_timeout=30) as memories:
        await memories.store_many([draft(i, user_id=u) for u in (ALICE, BOB) for i in range(STILL)])
        sync = AsyncSyncService(memories)
        writers = [Writer(memories, number, seed) for number in range(WRITERS)]
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.run(until))
            checks = group.create_task(_checks(sync, until))
            rebuilds = group.create_task(_rebuilds(sync, until))
        alarms = [(r.depth, r.user_id, one) for r in checks.result() for one in r.inconsistencies]
        assert alarms == []
        assert all(report.complete for report in checks.result())
        sys.stdout.write(
            f"{len(checks.result())} checks, {dict(rebuilds.result())}, {sum(w.operations for w in writers)} writes\n"
        )
        await memories.drain()
        for writer in writers:
            await writer.assert_kept()
        report = await sync.check_consistency(Depth.FULL)
        assert (report.in_step, report.found) == (True, 0)
        await stores.assert_in_step()


async def test_no_false_alarm_while_others_write(stores: Stores) -> None:
    """Checks of every depth and rebuilds beside four writers, for some seconds: no drift is reported, none is made."""
    await _live(stores, seconds=8)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_no_false_alarm_in_a_minute(stores: Stores) -> None:
    """The same for a minute."""
    await _live(stores, seconds=60)


async def test_a_tenant_that_is_being_emptied_is_no_drift(stores: Stores) -> None:
    """While a rebuild empties a tenant first, checks say that it is under way, and call nothing of it drift."""
    emptied, go_on = asyncio.Event(), asyncio.Event()

    async def wait(number: int) -> None:
        if number == 2:
            emptied.set()
            await go_on.wait()

    graph = Hooked(stores.graph())
    graph.after["clear"] = wait
    async with stores.service(graph=graph, sync_batch=20) as memories, stores.service() as others:
        await fill(memories, (ALICE, BOB), 60)
        sync = AsyncSyncService(others)
        rebuild = asyncio.create_task(AsyncSyncService(memories).rebuild_graph(user_id=ALICE, clear_existing=True))
        await emptied.wait()
        for depth in Depth:
            report = await sync.check_consistency(depth)
            assert (report.complete, report.in_step, report.inconsistencies) == (False, False, ()), depth
            assert (await sync.check_consistency(depth, user_id=BOB)).in_step
        go_on.set()
        assert (await rebuild).complete
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()
