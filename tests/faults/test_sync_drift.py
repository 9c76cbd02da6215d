"""Drift of every kind, planted by hand: found exactly, mended exactly, and then there is nothing left to do."""

from __future__ import annotations

import pytest

from persistence import Key
from persistence.ports.capabilities import Capability
from persistence.ports.runs import Kind
from sync import AsyncSyncService, Depth, Strategy, check, scan
from tests.faults import drifts
from tests.faults.drifts import QUICK, Pick, by_kind, fill, recorded
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, BOB, Stores

USERS = (ALICE, BOB, "Zoë 🜚", "o'hara`")


async def test_a_pair_in_step_is_said_to_be(stores: Stores) -> None:
    """A check of every depth finds nothing in a pair in step, says how much it looked at, and looked both ways."""
    async with stores.service() as memories:
        await fill(memories, USERS, 60)
        sync = AsyncSyncService(memories)
        for depth in Depth:
            report = await sync.check_consistency(depth)
            assert (report.in_step, report.complete, report.found) == (True, True, 0)
            assert (report.checked.vector, report.checked.graph) == (240, 240)
            assert report.advice is None


MANY = [pytest.param(number, marks=pytest.mark.long) for number in (200, 1_000)]


@pytest.mark.parametrize("number", [1, 7, *MANY], ids="{} of each".format)
async def test_what_a_quick_check_sees(stores: Stores, number: int) -> None:
    """Of each kind that versions and digests show, over four tenants, exactly what was planted is found and mended."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, max(20, number * 2)), seed=number)
        planted = {kind: set(pick(number)) for kind in QUICK}
        for kind, keys in planted.items():
            await QUICK[kind](stores, sorted(keys))
        sync = AsyncSyncService(memories)

        report = await sync.check_consistency(limit=1_000)
        assert await recorded(sync, report) == planted
        assert dict(report.counts) == dict.fromkeys(QUICK, number)
        assert not report.in_step
        assert report.complete

        plan = await sync.repair_inconsistencies(force=True)
        assert (plan.planned, plan.repaired, plan.refused, plan.failed, plan.dry_run) == (5 * number, 0, 0, 0, True)
        assert dict((await sync.check_consistency()).counts) == dict.fromkeys(QUICK, number)

        done = await sync.repair_inconsistencies(force=True, dry_run=False)
        assert (done.planned, done.repaired, done.refused, done.failed) == (5 * number, 5 * number, 0, 0)
        assert done.in_step
        await stores.assert_in_step()

        assert (await sync.check_consistency(Depth.FULL)).in_step
        again = await sync.repair_inconsistencies(Depth.FULL, dry_run=False)
        assert (again.planned, again.repaired, again.check.found) == (0, 0, 0)
        assert await sync.list_inconsistencies(open=True) == []


async def test_edges_and_entities_are_looked_at_by_a_structure_check(stores: Stores) -> None:
    """Edges removed, edges and entities added behind our back: no quick check sees them, a structure check all."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 40), seed=3)
        gone, other, added, ghosts = pick(9), pick(5), pick(6), pick(4)
        await drifts.mentions_gone(stores, gone)
        await drifts.relationships_gone(stores, other)
        await drifts.relationships_added(stores, added)
        await drifts.entities_added(stores, ghosts)
        sync = AsyncSyncService(memories)

        assert (await sync.check_consistency(Depth.QUICK)).in_step
        for depth in (Depth.STRUCTURE, Depth.FULL):
            report = await sync.check_consistency(depth)
            assert by_kind(report.inconsistencies) == {
                Kind.EDGE_MISSING: {*gone, *other},
                Kind.EDGE_UNEXPECTED: set(added),
                Kind.ORPHAN_ENTITY: set(ghosts),
            }
        done = await sync.repair_inconsistencies(Depth.STRUCTURE, dry_run=False)
        assert (done.repaired, done.refused, done.failed) == (24, 0, 0)
        await stores.assert_in_step()
        assert (await sync.check_consistency(Depth.FULL)).in_step


async def test_properties_are_looked_at_by_a_full_check(stores: Stores) -> None:
    """What the graph shows of a memory otherwise than truth is found by a full check alone, and mended."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 20), seed=4)
        changed, edited = pick(5), pick(3)
        await drifts.properties_changed(stores, changed)
        await stores.cypher(
            drifts.MEMORIES + "MATCH (m)-[r:MENTIONS]->() SET r.doubt = true", keys=[list(key) for key in edited]
        )
        sync = AsyncSyncService(memories)

        assert (await sync.check_consistency(Depth.STRUCTURE)).in_step
        report = await sync.check_consistency(Depth.FULL)
        assert by_kind(report.inconsistencies) == {Kind.CONTENT: {*changed, *edited}}
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).in_step
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()


async def test_truth_edited_by_hand(stores: Stores) -> None:
    """A row of truth changed with SQL, its version and digest left as they were, reaches the graph by a full repair."""
    async with stores.service() as memories:
        keys = Pick(await fill(memories, USERS, 10), seed=5)(3)
        await stores.set_content(keys, "by hand")
        sync = AsyncSyncService(memories)
        assert by_kind((await sync.check_consistency(Depth.FULL)).inconsistencies) == {Kind.CONTENT: set(keys)}
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).in_step
        await stores.assert_in_step()
        assert (await stores.cypher("MATCH (m:Memory {caption: 'by hand'}) RETURN count(m) AS n"))[0]["n"] == 3


async def test_one_tenant_is_checked_and_mended_alone(stores: Stores) -> None:
    """Check and repair of one tenant neither count nor touch another one's drift."""
    async with stores.service() as memories:
        await fill(memories, (ALICE, BOB), 12)
        theirs, ours = [Key(BOB, "m0003")], [Key(ALICE, "m0003")]
        await drifts.missing(stores, theirs + ours)
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(user_id=ALICE)
        assert by_kind(report.inconsistencies) == {Kind.MISSING: set(ours)}
        assert (report.checked.vector, report.checked.graph) == (12, 11)
        assert (await sync.repair_inconsistencies(user_id=ALICE, dry_run=False)).in_step
        assert by_kind((await sync.check_consistency()).inconsistencies) == {Kind.MISSING: set(theirs)}


async def test_named_memories_are_checked_alone(stores: Stores) -> None:
    """A check of some ids looks at those, whatever else is wrong, also for what a quick check would not see."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 12)
        await drifts.missing(stores, [Key(ALICE, "m0001"), Key(ALICE, "m0002")])
        await drifts.relationships_gone(stores, [Key(ALICE, "m0004"), Key(ALICE, "m0005")])
        sync = AsyncSyncService(memories)
        ids = ["m0001", "m0004", "m0009", "unheard of"]
        report = await sync.check_consistency(Depth.STRUCTURE, user_id=ALICE, ids=ids)
        assert by_kind(report.inconsistencies) == {
            Kind.MISSING: {Key(ALICE, "m0001")},
            Kind.EDGE_MISSING: {Key(ALICE, "m0004")},
        }
        assert (report.checked.vector, report.checked.graph) == (3, 2)
        done = await sync.repair_inconsistencies(Depth.STRUCTURE, user_id=ALICE, ids=ids, dry_run=False)
        assert done.repaired == 2
        left = await sync.check_consistency(Depth.STRUCTURE, user_id=ALICE)
        assert dict(left.counts) == {Kind.MISSING: 1, Kind.EDGE_MISSING: 1}


class Unsumming(Hooked):
    """Stands in for a store that cannot sum by itself."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities - {Capability.AGGREGATES}


async def test_a_store_that_cannot_sum_is_read_row_by_row(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither store can sum, rows are read, some at a time: the same drift is found, and the report says so."""
    monkeypatch.setattr(scan, "ROWS_AT_ONCE", 50)
    vector, graph = Unsumming(stores.vector()), Unsumming(stores.graph())
    async with stores.service(vector=vector, graph=graph) as memories:
        pick = Pick(await fill(memories, USERS, 100), seed=8)
        planted = {kind: set(pick(5)) for kind in QUICK}
        for kind, keys in planted.items():
            await QUICK[kind](stores, sorted(keys))
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency()
        assert by_kind(report.inconsistencies) == planted
        assert (report.checked.vector, report.checked.graph) == (395, 395)
        assert [note for note in report.notes if "cannot sum" in note] == [
            "pgvector cannot sum up by itself: all of its rows were read, without content.",
            "neo4j cannot sum up by itself: all of its rows were read, without content.",
        ]
        assert vector.calls["bucket_sums"] == graph.calls["bucket_sums"] == 0
        assert vector.calls["bucket_rows"] > 400 // 50
        of_one = await sync.check_consistency(user_id=ALICE)
        assert by_kind(of_one.inconsistencies) == by_kind(one for one in report.inconsistencies if one.user_id == ALICE)
        assert (await sync.repair_inconsistencies(dry_run=False)).in_step


async def test_very_many_memories_are_checked_in_slices(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """More memories than are summed up at once are checked a span after another: the same is found and counted."""
    monkeypatch.setattr(check, "AT_ONCE", 60)
    monkeypatch.setattr(check, "TORN_AT_ONCE", 60)
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph) as memories:
        pick = Pick(await fill(memories, USERS, 120), seed=10)
        planted = {kind: set(pick(5)) for kind in QUICK}
        for kind, keys in planted.items():
            await QUICK[kind](stores, sorted(keys))
        gone = pick(5)
        await drifts.mentions_gone(stores, gone)
        await stores.rows("ANALYZE memories")
        graph.calls.clear()
        report = await AsyncSyncService(memories).check_consistency(Depth.STRUCTURE)
        assert by_kind(report.inconsistencies) == planted | {Kind.EDGE_MISSING: set(gone)}
        assert (report.checked.vector, report.checked.graph) == (475, 475)
        assert min(graph.calls["bucket_sums"], graph.calls["torn"]) >= 480 // 60


async def test_a_rebuild_leaves_nothing_loose(stores: Stores) -> None:
    """A rebuild over a graph with all kinds of drift ends in step: strays, ghosts and what truth has not are gone."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, USERS, 60), seed=9)
        for plant in (*QUICK.values(), drifts.mentions_gone, drifts.relationships_gone, drifts.relationships_added):
            await plant(stores, pick(4))
        await drifts.entities_added(stores, pick(4))
        built = await AsyncSyncService(memories).rebuild_graph()
        assert (built.complete, built.pending, built.removed) == (True, 0, 4 + 4 + 4)
        assert (await AsyncSyncService(memories).check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()


async def test_a_tenant_nobody_knows(stores: Stores) -> None:
    """A check of an unknown tenant looks at nothing, finds nothing, and is no error."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 3)
        report = await AsyncSyncService(memories).check_consistency(Depth.FULL, user_id="nobody")
        assert (report.in_step, report.checked.vector, report.checked.graph) == (True, 0, 0)


async def test_many_orphans_are_left_alone_until_it_is_forced(stores: Stores) -> None:
    """Above a tenth of a tenant's memories orphans stay, with the sentence that says how to force it; others' go."""
    async with stores.service() as memories:
        await fill(memories, (ALICE, BOB), 30)
        many, few = [Key(ALICE, f"m{i:04}") for i in range(10)], [Key(BOB, "m0000")]
        await drifts.orphans(stores, many + few)
        sync = AsyncSyncService(memories)
        plan = await sync.repair_inconsistencies()
        assert (plan.planned, plan.refused) == (1, 10)
        done = await sync.repair_inconsistencies(dry_run=False)
        assert (done.planned, done.repaired, done.refused, done.in_step) == (1, 1, 10, False)
        assert "--force" in done.notes[-1]
        assert "'alice'" in done.notes[-1]
        forced = await sync.repair_inconsistencies(dry_run=False, force=True)
        assert (forced.repaired, forced.refused, forced.in_step) == (10, 0, True)


async def test_a_strategy_decides_what_is_mended(stores: Stores) -> None:
    """`graph_missing_only` adds and never deletes; `report_only` changes nothing, whatever else is asked for."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, (ALICE,), 40), seed=6)
        for kind in (Kind.MISSING, Kind.ORPHAN, Kind.STALE):
            await QUICK[kind](stores, pick(2))
        sync = AsyncSyncService(memories)
        none = await sync.repair_inconsistencies(dry_run=False, strategy=Strategy.REPORT_ONLY)
        assert (none.planned, none.repaired, none.refused, none.dry_run) == (0, 0, 6, True)
        added = await sync.repair_inconsistencies(dry_run=False, strategy="graph_missing_only")
        assert (added.planned, added.repaired, added.refused) == (2, 2, 4)
        assert dict((await sync.check_consistency()).counts) == {Kind.ORPHAN: 2, Kind.STALE: 2}


async def test_what_a_check_found_is_mended_later(stores: Stores) -> None:
    """A repair of a check's run mends what that check found, looked at afresh, and leaves what came after alone."""
    async with stores.service() as memories:
        pick = Pick(await fill(memories, (ALICE, BOB), 30), seed=7)
        first, ghosts, edges, later = pick(4), pick(2), pick(3), pick(5)
        await drifts.missing(stores, first)
        await drifts.entities_added(stores, ghosts)
        await drifts.relationships_added(stores, edges)
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(Depth.STRUCTURE)
        await drifts.stale(stores, later)
        await memories.update(first[0].id, user_id=first[0].user_id, content="mended by a write meanwhile")
        done = await sync.repair_inconsistencies(run_id=report.run_id, dry_run=False)
        assert (done.repaired, done.failed) == (3 + 2 + 3, 0)
        assert by_kind((await sync.check_consistency(Depth.STRUCTURE)).inconsistencies) == {Kind.STALE: set(later)}


async def test_what_is_pending_is_no_drift(stores: Stores) -> None:
    """Memories in the outbox are reported as pending, not as drift; a repair works them off."""
    async with stores.service(graph="none://") as memories:
        await memories.store(user_id=BOB, id="old", content="before there was a graph")
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(Depth.FULL)
        assert (report.found, report.pending, report.in_step, report.complete) == (0, 1, False, True)
        assert report.advice == "diptych relay"
        assert (await sync.repair_inconsistencies(dry_run=False)).in_step


async def test_other_peoples_data_is_left_alone(stores: Stores) -> None:
    """Nodes, edges and properties that are not ours are neither counted nor touched, by no depth and no repair."""
    await stores.cypher("MATCH (n) WHERE n:Theirs OR n:Memory AND NOT n:DiptychMemory DETACH DELETE n")
    async with stores.service() as memories:
        keys = await fill(memories, (ALICE,), 10)
        await stores.cypher(
            "MATCH (e:DiptychEntity {user_id: $user}) WITH e ORDER BY e.key LIMIT 1 "
            "CREATE (:Theirs:Memory:Entity {id: 'm0001', user_id: $user})-[:MENTIONS]->(e)-[:LIKES {why: 'so'}]->(e)",
            user=ALICE,
        )
        await stores.cypher("CREATE (:Theirs {user_id: $user})-[:KNOWS {memory_id: 'm0001'}]->(:Theirs)", user=ALICE)
        sync = AsyncSyncService(memories)
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await drifts.missing(stores, keys[:3])
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).in_step
        await sync.rebuild_graph(user_id=ALICE, clear_existing=True)
        assert (await sync.check_consistency(Depth.FULL)).in_step
        (left,) = await stores.cypher(
            "MATCH (t:Theirs) OPTIONAL MATCH (t)-[r]->() RETURN count(DISTINCT t) AS nodes, count(r) AS edges"
        )
        assert (left["nodes"], left["edges"]) == (3, 2)
        assert (await stores.cypher("MATCH ()-[r:LIKES {why: 'so'}]->() RETURN count(r) AS n"))[0]["n"] == 1
    await stores.cypher("MATCH (n:Theirs) DETACH DELETE n")


async def test_an_emptied_graph_is_counted_and_the_rebuild_named(stores: Stores) -> None:
    """A graph wiped by someone else: the check counts what is missing at the cost of a sum, and names the rebuild."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 1_200)
        await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity) DETACH DELETE n")
        sync = AsyncSyncService(memories)
        for user in (None, ALICE):
            report = await sync.check_consistency(user_id=user, limit=10)
            assert (dict(report.counts), len(report.inconsistencies)) == ({Kind.MISSING: 1_200}, 10)
            assert report.advice == ("diptych rebuild" if user is None else "diptych rebuild --user alice")
        built = await sync.rebuild_graph()
        assert (built.memories, built.complete, built.removed, built.pending) == (1_200, True, 0, 0)
        assert (await sync.check_consistency(Depth.FULL)).in_step
