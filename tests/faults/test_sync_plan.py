"""A repair that was planned by a dry run: what is carried out is what the plan found."""

from __future__ import annotations

import pytest

from persistence.errors import InvalidInputError
from sync import AsyncSyncService
from tests.faults import drifts
from tests.faults.stores import ALICE, BOB, Stores


async def test_a_plan_is_carried_out_by_its_run(stores: Stores) -> None:
    """A dry run of what a check found is carried out by its own id; drift that came later is left to another."""
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        keys = await drifts.fill(memories, [ALICE, BOB], 6)
        await drifts.missing(stores, keys[:2])
        check = await sync.check_consistency()
        plan = await sync.repair_inconsistencies(run_id=check.run_id)
        assert (plan.planned, plan.repaired) == (2, 0)
        await drifts.stale(stores, keys[7:8])
        done = await sync.repair_inconsistencies(run_id=plan.check.run_id, dry_run=False)
        assert (done.check.found, done.repaired, done.dry_run) == (2, 2, False)
        assert (await sync.check_consistency()).found == 1


async def test_a_check_is_carried_out_after_it_was_planned(stores: Stores) -> None:
    """The same call with ``dry_run=False`` mends what it said that it would, orphans too, however often it said so."""
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        keys = await drifts.fill(memories, [ALICE], 12)
        await drifts.missing(stores, keys[:2])
        await drifts.orphans(stores, keys[4:5])
        check = await sync.check_consistency()
        for _ in range(2):
            plan = await sync.repair_inconsistencies(run_id=check.run_id)
            assert plan.planned == 3
        done = await sync.repair_inconsistencies(run_id=check.run_id, dry_run=False)
        assert (done.planned, done.repaired, done.in_step) == (3, 3, True)


async def test_what_was_carried_out_is_no_plan(stores: Stores) -> None:
    """A repair that changed the graph is nothing that another repair can carry out."""
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        await drifts.fill(memories, [ALICE], 2)
        done = await sync.repair_inconsistencies(dry_run=False)
        with pytest.raises(InvalidInputError, match="dry run"):
            await sync.repair_inconsistencies(run_id=done.check.run_id)
