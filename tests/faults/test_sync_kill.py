"""kill -9 in the middle of a repair and of a rebuild: taken up by another process, little done twice, result exact."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import signal
import sys
from typing import Any
from uuid import UUID

import pytest

from persistence import Key
from persistence.ports.runs import Kind, RunState
from sync import AsyncSyncService, Depth
from tests.faults import drifts
from tests.faults.drifts import Pick, fill
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, BOB, Stores
from tests.faults.sync_child import BATCH, LEASE

MEMORIES, DRIFT = 120, 60
Point = tuple[str, str, str, int]

#: Store, moment, method, number of the call.
REPAIR: dict[str, Point] = {
    "before_it_lists": ("vector", "before", "enlist", 1),
    "after_it_lists": ("vector", "after", "enlist", 1),
    "after_the_graph": ("graph", "after", "apply", 1),
    "after_it_settles": ("vector", "after", "settle", 1),
    "after_a_save": ("vector", "after", "save_run", 1),
    "in_the_orphans": ("graph", "before", "apply", 3),
    "before_the_end": ("vector", "before", "finish_run", 1),
}
REBUILD: dict[str, Point] = {
    "before_a_batch": ("graph", "before", "apply", 3),
    "after_a_batch": ("graph", "after", "apply", 3),
    "after_a_save": ("vector", "after", "save_run", 3),
    "in_the_sweep": ("graph", "before", "unstamped", 1),
    "in_the_orphans": ("vector", "after", "enlist", 1),
    "in_the_entities": ("graph", "before", "loose_ends", 1),
    "before_the_end": ("vector", "before", "finish_run", 1),
}


class Child:
    """What a child said before it died."""

    def __init__(self, output: bytes, code: int | None) -> None:
        self.code = code
        lines = [json.loads(line) for line in output.decode().splitlines()]
        self.applied = [Key(*key) for line in lines for key in line.get("applied", [])]
        self.done = any("done" in line for line in lines)


async def _child(stores: Stores, work: str, point: Point | None, *, after: float | None = None, **more: Any) -> Child:
    """Run a child to its death, at a point or after so many seconds."""
    task = {"stores": dataclasses.asdict(stores), "work": work, "point": point, "depth": "structure", "clear": False}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.sync_child", json.dumps({**task, **more})), stdout=asyncio.subprocess.PIPE
    )
    said = asyncio.ensure_future(process.communicate())
    if after is not None:
        await asyncio.wait({said}, timeout=after)
        if process.returncode is None:
            process.kill()
    output, _ = await said
    return Child(output, process.returncode)


async def _damaged(stores: Stores) -> set[Key]:
    """Fill both stores and plant drift of several kinds; return the memories that are wrong."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, (ALICE, BOB), MEMORIES), seed=8)
        planted = set()
        for plant in (drifts.missing, drifts.stale, drifts.mentions_gone, drifts.orphans):
            keys = pick(DRIFT // 4)
            await plant(stores, keys)
            planted.update(keys)
        return planted


async def _taken_up(stores: Stores) -> list[Key]:
    """Take the dead process's run up in this one; return the memories that the graph was given."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, run_lease=LEASE, sync_batch=BATCH, relay_batch=BATCH) as memories:
        sync = AsyncSyncService(memories)
        (run,) = await sync.list_runs(limit=1)
        assert run.state is RunState.RUNNING
        await sync.resume_run(run.id)
        assert (await sync.get_run(run.id)).state is RunState.DONE
        given = [Key(write.user_id, write.id) for batch in graph.given.get("apply", []) for write in batch]
        await stores.end_leases()
        await memories.drain()
        report = await sync.check_consistency(Depth.FULL)
        assert (report.found, report.in_step) == (0, True)
        await stores.assert_in_step()
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).planned == 0
    return given


@pytest.mark.parametrize("point", REPAIR.values(), ids=REPAIR)
async def test_a_repair_is_killed(stores: Stores, point: Point) -> None:
    """A repair that dies at a point is resumed in another process: what it had done is done once, the rest as well."""
    planted = await _damaged(stores)
    child = await _child(stores, "repair", point)
    assert child.code == -signal.SIGKILL
    given = await _taken_up(stores)
    assert len(given) <= len(planted) + BATCH
    assert len(set(child.applied) & set(given)) <= BATCH


@pytest.mark.parametrize("point", REBUILD.values(), ids=REBUILD)
async def test_a_rebuild_is_killed(stores: Stores, point: Point) -> None:
    """A rebuild that dies at a point is resumed in another process: at most one batch is written twice."""
    await _damaged(stores)
    await drifts.entities_added(stores, [Key(ALICE, "ghost")])
    child = await _child(stores, "rebuild", point)
    assert child.code == -signal.SIGKILL
    given = await _taken_up(stores)
    assert len(set(child.applied) & set(given)) <= BATCH


@pytest.mark.parametrize(
    "point", [("graph", "after", "clear", 2), ("graph", "after", "apply", 1)], ids=["clear", "walk"]
)
async def test_a_rebuild_that_empties_first_is_killed(stores: Stores, point: Point) -> None:
    """A rebuild that had emptied its tenant is taken up; in between, no check calls drift what it had taken away."""
    await _damaged(stores)
    child = await _child(stores, "rebuild", point, user_id=ALICE, clear=True)
    assert child.code == -signal.SIGKILL
    async with stores.service(run_lease=LEASE) as memories:
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(Depth.STRUCTURE, user_id=ALICE)
        assert (report.complete, report.in_step, report.inconsistencies) == (False, False, ())
        assert (await sync.rebuild_graph(user_id=ALICE, clear_existing=True, force=True)).complete
        assert len(await sync.list_runs(user_id=ALICE, limit=10)) == 2, "the dead rebuild was taken up, not begun anew"
        assert (await sync.check_consistency(Depth.FULL, user_id=ALICE)).in_step


@pytest.mark.faults
async def test_killed_at_random(stores: Stores) -> None:
    """Rebuilds and repairs killed at moments of chance, each taken up by the next process, end exactly."""
    seed = 9
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    await _damaged(stores)
    for work in ("rebuild", "repair", "rebuild"):
        await _child(stores, work, None, after=1.0 + rng.random())
    async with stores.service(run_lease=LEASE, sync_batch=BATCH) as memories:
        sync = AsyncSyncService(memories)
        for run in reversed(await sync.list_runs(limit=10)):
            if run.state in {RunState.RUNNING, RunState.INTERRUPTED}:
                await sync.resume_run(UUID(str(run.id)))
        await stores.end_leases()
        await memories.drain()
        done = await sync.repair_inconsistencies(Depth.STRUCTURE, dry_run=False, force=True)
        assert not {Kind.UNKNOWN} & set(done.check.counts)
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()
