"""The core of test_sync_drift.py on other truths and graphs: drift planted past the adapters, found and mended."""

from __future__ import annotations

from typing import Any

import pytest

from persistence.ports.capabilities import Capability
from persistence.ports.runs import Kind
from sync import AsyncSyncService, Depth, scan
from tests.faults import drifts, file_drifts, sql_drifts
from tests.faults.drifts import Pick, by_kind, fill, recorded
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, BOB, Stores, StoresOnPostgres
from tests.faults.truths import FileStores

pytestmark = pytest.mark.parametrize("stores", ["qdrant+neo4j", "sqlite+postgres", "file+file"], indirect=True)

USERS = (ALICE, BOB, "Zoë 🜚", "o'hara`")
QUICK = {
    Kind.MISSING: "missing",
    Kind.ORPHAN: "orphans",
    Kind.STALE: "stale",
    Kind.AHEAD: "ahead",
    Kind.CONTENT: "content",
}


def planter(stores: Stores) -> Any:
    """Return what plants drift in these stores' graph."""
    if isinstance(stores, FileStores):
        return file_drifts
    return sql_drifts if isinstance(stores, StoresOnPostgres) else drifts


async def test_what_a_quick_check_sees(stores: Stores) -> None:
    """Of each kind that versions and digests show exactly what was planted is found, mended, and then nothing."""
    plant = planter(stores)
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 30), seed=7)
        planted = {kind: set(pick(6)) for kind in QUICK}
        for kind, keys in planted.items():
            await getattr(plant, QUICK[kind])(stores, sorted(keys))
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(limit=1_000)
        assert await recorded(sync, report) == planted
        assert (report.in_step, report.complete, report.checked.vector, report.checked.graph) == (False, True, 114, 114)
        plan = await sync.repair_inconsistencies(force=True)
        assert (plan.planned, plan.repaired, plan.dry_run) == (30, 0, True)
        done = await sync.repair_inconsistencies(force=True, dry_run=False)
        assert (done.repaired, done.refused, done.failed, done.in_step) == (30, 0, 0, True)
        await stores.assert_in_step()
        assert (await sync.check_consistency(Depth.FULL)).in_step


async def test_edges_entities_and_properties(stores: Stores) -> None:
    """Edges gone and entities nobody mentions take a structure check, properties a full one; all are mended."""
    plant = planter(stores)
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 20), seed=3)
        gone, other, ghosts, changed = pick(5), pick(5), pick(4), pick(3)
        await plant.mentions_gone(stores, gone)
        await plant.relationships_gone(stores, other)
        await plant.entities_added(stores, ghosts)
        await plant.properties_changed(stores, changed)
        sync = AsyncSyncService(memories)
        assert (await sync.check_consistency(Depth.QUICK)).in_step
        structure = {Kind.EDGE_MISSING: {*gone, *other}, Kind.ORPHAN_ENTITY: set(ghosts)}
        report = await sync.check_consistency(Depth.STRUCTURE)
        assert by_kind(report.inconsistencies) == structure
        report = await sync.check_consistency(Depth.FULL)
        assert by_kind(report.inconsistencies) == {**structure, Kind.CONTENT: set(changed)}
        done = await sync.repair_inconsistencies(Depth.FULL, dry_run=False)
        assert (done.repaired, done.refused, done.failed, done.in_step) == (17, 0, 0, True)
        await stores.assert_in_step()


async def test_truth_edited_by_hand(stores: Stores) -> None:
    """A memory changed in truth past the adapter, its version and digest kept, reaches the graph by a full repair."""
    async with stores.service() as memories:
        keys = Pick(await fill(memories, (ALICE, BOB), 8), seed=5)(3)
        await stores.set_content(keys, "by hand")
        sync = AsyncSyncService(memories)
        assert by_kind((await sync.check_consistency(Depth.FULL)).inconsistencies) == {Kind.CONTENT: set(keys)}
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).in_step
        await stores.assert_in_step()
        for key in keys:
            memory = await memories.get(key.id, user_id=key.user_id)
            assert memory is not None
            assert memory.content == "by hand"


async def test_a_rebuild_leaves_nothing_loose(stores: Stores) -> None:
    """A rebuild over a graph with all kinds of drift ends in step, whatever was missing, stale, or too much."""
    plant = planter(stores)
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 60), seed=9)
        for name in (*QUICK.values(), "mentions_gone", "relationships_gone", "entities_added"):
            await getattr(plant, name)(stores, pick(4))
        built = await AsyncSyncService(memories).rebuild_graph()
        assert (built.complete, built.pending) == (True, 0)
        assert (await AsyncSyncService(memories).check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()


async def test_one_tenant_is_checked_and_mended_alone(stores: Stores) -> None:
    """Check and repair of one tenant neither count nor touch another one's drift."""
    plant = planter(stores)
    async with stores.service() as memories:
        pick = Pick([key for key in await fill(memories, (ALICE, BOB), 12) if key.id == "m0003"], seed=1)
        both = set(pick(2))
        await plant.missing(stores, sorted(both))
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(user_id=ALICE)
        assert (dict(report.counts), report.checked.vector, report.checked.graph) == ({Kind.MISSING: 1}, 12, 11)
        assert (await sync.repair_inconsistencies(user_id=ALICE, dry_run=False)).in_step
        left = by_kind((await sync.check_consistency()).inconsistencies)
        assert left == {Kind.MISSING: {key for key in both if key.user_id == BOB}}


async def test_rows_are_read_where_truth_cannot_sum(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Qdrant cannot sum: a check reads its rows in parts, of one tenant its own alone, and the report says so."""
    monkeypatch.setattr(scan, "ROWS_AT_ONCE", 20)
    truth = Hooked(stores.vector())
    sums = Capability.AGGREGATES in truth.capabilities
    async with stores.service(vector=truth) as memories:
        pick = Pick(await fill(memories, USERS, 30), seed=2)
        stale = pick(3)
        await planter(stores).stale(stores, stale)
        sync = AsyncSyncService(memories)
        for user in (None, stale[0].user_id):
            report = await sync.check_consistency(user_id=user)
            assert by_kind(report.inconsistencies) == {
                Kind.STALE: {key for key in stale if user in {None, key.user_id}}
            }
            noted = [note for note in report.notes if "cannot sum" in note]
            assert noted == (
                [] if sums else [f"{truth.kind} cannot sum up by itself: all of its rows were read, without content."]
            )
        assert (truth.calls["bucket_sums"] > 0) == sums
        assert truth.calls["bucket_rows"] > (0 if sums else 120 // 20)
    assert sums != truth.kind.startswith("qdrant")
