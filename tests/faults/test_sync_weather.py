"""Bad weather: stores that fail in the middle, graphs and truths restored from old copies, runs that collide."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from persistence import GraphUnavailableError, InvalidInputError, Key, SyncError, VectorStoreUnavailableError
from persistence.ports.runs import Kind, RunState
from sync import (
    AsyncSyncService,
    Depth,
    Pace,
    Progress,
    RunCancelledError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
)
from tests.faults import drifts
from tests.faults.drifts import by_kind, fill
from tests.faults.proxies import Hook, Hooked, failing
from tests.faults.stores import ALICE, BOB, Stores, draft

GRAPH_GONE = failing(GraphUnavailableError("The graph is gone."))
TRUTH_GONE = failing(VectorStoreUnavailableError("Truth is gone."))

CHECKS: dict[str, tuple[str, str, Hook]] = {
    "graph_sums": ("graph", "bucket_sums", GRAPH_GONE),
    "graph_rows": ("graph", "bucket_rows", GRAPH_GONE),
    "graph_heads": ("graph", "heads", GRAPH_GONE),
    "graph_torn": ("graph", "torn", GRAPH_GONE),
    "graph_entities": ("graph", "loose_ends", GRAPH_GONE),
    "graph_read": ("graph", "read", GRAPH_GONE),
    "truth_sums": ("vector", "bucket_sums", TRUTH_GONE),
    "truth_rows": ("vector", "bucket_rows", TRUTH_GONE),
    "truth_standings": ("vector", "standings", TRUTH_GONE),
    "truth_walk": ("vector", "walk", TRUTH_GONE),
    "truth_outbox": ("vector", "outbox_stats", TRUTH_GONE),
}


async def _drifted(stores: Stores) -> None:
    """Fill both stores and plant what every depth has something to say of, orphans among it."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 40)
    await drifts.orphans(stores, [Key(ALICE, "m0001")])
    await drifts.missing(stores, [Key(ALICE, "m0002")])
    await drifts.mentions_gone(stores, [Key(ALICE, "m0003")])
    await drifts.properties_changed(stores, [Key(ALICE, "m0004")])


def _hooked(stores: Stores, where: tuple[str, str, Hook]) -> dict[str, Any]:
    adapters = {"vector": Hooked(stores.vector()), "graph": Hooked(stores.graph())}
    store, method, hook = where
    adapters[store].before[method] = hook
    return adapters


@pytest.mark.parametrize("where", CHECKS.values(), ids=CHECKS)
async def test_what_cannot_be_read_is_unknown(stores: Stores, where: tuple[str, str, Hook]) -> None:
    """A store that fails in a check, wherever: the report is not complete, and no deletion follows from it.

    Except where all that speaks of orphans was read: how long the outbox is does not.
    """
    await _drifted(stores)
    async with stores.service(**_hooked(stores, where), retry_attempts=1) as memories:
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(Depth.FULL)
        assert (report.complete, report.in_step) == (False, False)
        assert report.notes
        repair = await sync.repair_inconsistencies(Depth.FULL, dry_run=False, force=True)
        assert (repair.check.complete, repair.in_step) == (False, False)
    orphan = (await stores.nodes())[Key(ALICE, "m0001")]
    assert orphan.live or where[1] == "outbox_stats", "an orphan was deleted on the word of a store that was away"


async def test_a_check_that_could_not_read_resolves_nothing(stores: Stores) -> None:
    """What an earlier check found stays open when a later one could not look."""
    await _drifted(stores)
    async with stores.service() as memories:
        await AsyncSyncService(memories).check_consistency(Depth.QUICK)
    where = ("graph", "bucket_sums", GRAPH_GONE)
    async with stores.service(**_hooked(stores, where), retry_attempts=1) as memories:
        sync = AsyncSyncService(memories)
        before = await sync.list_inconsistencies(open=True)
        assert not (await sync.check_consistency(Depth.QUICK)).complete
        assert await sync.list_inconsistencies(open=True) == before
        assert len(before) == 2


async def test_an_interrupted_repair_is_resumed_where_it_could_not_read(stores: Stores) -> None:
    """A repair that an outage has interrupted looks, when it is resumed, at what it could not read, and is complete."""
    await _drifted(stores)
    where = ("graph", "heads", failing(GraphUnavailableError(), times=1))
    async with stores.service(**_hooked(stores, where), retry_attempts=1) as memories:
        sync = AsyncSyncService(memories)
        first = await sync.repair_inconsistencies(Depth.STRUCTURE, dry_run=False, force=True)
        assert (first.check.complete, (await sync.get_run(first.check.run_id)).state) == (False, RunState.INTERRUPTED)
        memories.parts.graph.breaker.succeeded()
        await sync.resume_run(first.check.run_id)
        assert (await sync.get_run(first.check.run_id)).state is RunState.DONE
        assert dict((await sync.check_consistency(Depth.STRUCTURE)).counts) == {}


async def test_a_rebuild_that_was_given_up_hides_nothing_for_good(stores: Stores) -> None:
    """Once a later rebuild has filled what an abandoned one had emptied, drift of that tenant is reported again."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 20)
    adapters = _hooked(stores, ("graph", "apply", failing(GraphUnavailableError())))
    async with stores.service(**adapters, retry_attempts=1) as memories:
        assert not (await AsyncSyncService(memories).rebuild_graph(user_id=ALICE, clear_existing=True)).complete
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        assert not (await sync.check_consistency(user_id=ALICE)).complete
        assert (await sync.rebuild_graph(user_id=ALICE)).complete
        await drifts.stale(stores, [Key(ALICE, "m0003")])
        report = await sync.check_consistency(user_id=ALICE)
        assert (report.complete, dict(report.counts)) == (True, {Kind.STALE: 1})


@pytest.mark.parametrize("call", [1, 3])
async def test_a_graph_that_goes_away_in_a_rebuild(stores: Stores, call: int) -> None:
    """A rebuild whose graph goes away ends incomplete, deletes nothing, and is taken up by the next call."""
    await _drifted(stores)
    adapters = _hooked(stores, ("graph", "apply", failing(GraphUnavailableError(), first=call)))
    async with stores.service(**adapters, sync_batch=10, retry_attempts=1) as memories:
        sync = AsyncSyncService(memories)
        report = await sync.rebuild_graph(force=True)
        assert (report.complete, report.removed, report.memories) == (False, 0, 10 * (call - 1))
        assert (await sync.get_run(report.run_id)).state is RunState.INTERRUPTED
    async with stores.service(sync_batch=10) as memories:
        sync = AsyncSyncService(memories)
        again = await sync.rebuild_graph(force=True)
        assert (again.run_id, again.complete, again.memories, again.removed) == (report.run_id, True, 39, 1)
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()


async def test_a_graph_that_does_not_take_a_repair(stores: Stores) -> None:
    """A repair whose writes the graph does not take says so; what it listed stays listed for the relay."""
    await _drifted(stores)
    async with stores.service(**_hooked(stores, ("graph", "apply", GRAPH_GONE)), retry_attempts=1) as memories:
        report = await AsyncSyncService(memories).repair_inconsistencies(dry_run=False, force=True)
        assert (report.repaired, report.in_step) == (0, False)
        assert {entry["id"] for entry in await stores.outbox()} >= {"m0002"}
    async with stores.service() as memories:
        await stores.end_leases()
        await memories.drain()
        assert (await AsyncSyncService(memories).repair_inconsistencies("full", dry_run=False)).in_step


async def test_a_graph_restored_alone_from_an_old_copy(stores: Stores) -> None:
    """A graph that is an old copy is behind: what changed since is found, deletes included, and mended."""
    async with stores.service() as memories:
        await fill(memories, (ALICE, BOB), 30)
        copy = await _copied(stores)
        await memories.update("m0001", user_id=ALICE, content="written since")
        await memories.delete("m0002", user_id=ALICE)
        await memories.store(**draft(77, user_id=BOB))
        await memories.drain()
        await _restored(stores, copy)
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency()
        assert by_kind(report.inconsistencies) == {
            Kind.STALE: {Key(ALICE, "m0001")},
            Kind.ORPHAN: {Key(ALICE, "m0002")},
            Kind.MISSING: {Key(BOB, "m0077")},
        }
        assert (await sync.repair_inconsistencies(dry_run=False)).in_step
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()


KEEP = (
    "CREATE TABLE kept_memories AS SELECT * FROM memories",
    "CREATE TABLE kept_info AS SELECT * FROM store_info",
)
RESTORE = (
    "DELETE FROM tombstones",
    "DELETE FROM memories",
    "INSERT INTO memories SELECT * FROM kept_memories",
    "UPDATE store_info SET floor = (SELECT floor FROM kept_info)",
)


async def test_truth_restored_alone_from_an_old_copy(stores: Stores) -> None:
    """A truth that is an old copy is behind its graph: it is found, truth is raised above it, and both are in step."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 30)
        for statement in KEEP:
            await stores.rows(statement)
        await memories.update("m0001", user_id=ALICE, content="written since")
        await memories.delete("m0002", user_id=ALICE)
        await memories.store(**draft(77, user_id=ALICE))
        await memories.drain()
        for statement in RESTORE:
            await stores.rows(statement)
        sync = AsyncSyncService(memories)
        report = await sync.check_consistency()
        assert by_kind(report.inconsistencies) == {
            Kind.AHEAD: {Key(ALICE, "m0001"), Key(ALICE, "m0002")},
            Kind.ORPHAN: {Key(ALICE, "m0077")},
        }
        assert (await sync.repair_inconsistencies(dry_run=False)).in_step
        assert (await sync.check_consistency(Depth.FULL)).in_step
        await stores.assert_in_step()
        assert (found := await memories.get("m0002", user_id=ALICE)) is not None
        assert found.content.startswith("Person 2")


async def _copied(stores: Stores) -> list[dict[str, Any]]:
    return await stores.cypher("MATCH (m:DiptychMemory) RETURN m.user_id AS user_id, m.id AS id, properties(m) AS kept")


async def _restored(stores: Stores, copy: list[dict[str, Any]]) -> None:
    """Set memories back to a copy: their nodes; memories that it does not have go with all they own."""
    there = {(row["user_id"], row["id"]) for row in copy}
    new = [key for key in await stores.nodes() if tuple(key) not in there]
    await drifts.missing(stores, new)
    await stores.cypher(
        "UNWIND $copy AS row MATCH (m:DiptychMemory {user_id: row.user_id, id: row.id}) "
        "WHERE m.version <> row.kept.version SET m = row.kept, m:Memory REMOVE m:DiptychTombstone",
        copy=copy,
    )


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_one_run_of_a_kind_at_a_time(stores: Stores) -> None:
    """A second rebuild of a tenant is refused while one is under way, and told which; another tenant's goes on."""
    going, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: int) -> None:
        going.set()
        await go_on.wait()

    async with stores.service() as memories:
        await fill(memories, (ALICE, BOB), 5)
    adapters = _hooked(stores, ("graph", "unstamped", wait))
    async with stores.service(**adapters, run_lease=0.6) as memories, stores.service(run_lease=0.6) as others:
        first = asyncio.create_task(AsyncSyncService(memories).rebuild_graph(user_id=ALICE))
        await going.wait()
        sync = AsyncSyncService(others)
        with pytest.raises(RunConflictError) as refused:
            await sync.rebuild_graph(user_id=ALICE)
        with pytest.raises(RunConflictError):
            await sync.rebuild_graph()
        assert (await sync.rebuild_graph(user_id=BOB)).complete
        assert (await sync.check_consistency(user_id=ALICE)).complete
        go_on.set()
        assert refused.value.run.id == (await first).run_id


async def test_a_run_is_cancelled_and_resumed(stores: Stores) -> None:
    """A run that is asked to stop does so at the next step, keeps its place, and goes on from there when resumed."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 60)
    async with stores.service(sync_batch=10) as memories:
        sync = AsyncSyncService(memories)
        seen: list[Progress] = []
        cancelling: list[asyncio.Task[Any]] = []

        def progress(at: Progress) -> None:
            seen.append(at)
            if len(seen) == 2:
                cancelling.append(asyncio.create_task(sync.cancel_run(at.run_id)))

        with pytest.raises(RunCancelledError):
            await sync.rebuild_graph(progress=progress, pace=Pace(rows_per_second=100))
        await asyncio.gather(*cancelling)
        run = await sync.get_run(seen[0].run_id)
        assert run.state is RunState.CANCELLED
        done = await sync.resume_run(run.id)
        assert done.memories == 60
        with pytest.raises(RunEndedError):
            await sync.resume_run(run.id)
        with pytest.raises(RunNotFoundError):
            await sync.resume_run(uuid.uuid4())


async def test_a_cancelled_call_interrupts_its_run(stores: Stores) -> None:
    """Cancelling the task of a run leaves the run interrupted, with its lease given back, to be resumed at once."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 40)
    async with stores.service(sync_batch=10) as memories:
        sync = AsyncSyncService(memories)
        task: asyncio.Task[Any] = asyncio.create_task(
            sync.rebuild_graph(pace=Pace(rows_per_second=50), progress=lambda at: at.done >= 20 and task.cancel())
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        (run,) = await sync.list_runs(limit=1)
        assert (run.state, run.lease_expires_at) == (RunState.INTERRUPTED, None)
        assert (await sync.resume_run(run.id)).complete


BAD: dict[str, Callable[[AsyncSyncService], Any]] = {
    "depth": lambda sync: sync.check_consistency("deep"),
    "limit": lambda sync: sync.check_consistency(limit=0),
    "rows_per_second": lambda sync: sync.check_consistency(pace=Pace(rows_per_second=-1)),
    "max_response_ms": lambda sync: sync.check_consistency(pace=Pace(max_response_ms=0)),
    "user_id": lambda sync: sync.check_consistency(user_id=""),
    "ids": lambda sync: sync.check_consistency(ids=["a"]),
    "strategy": lambda sync: sync.repair_inconsistencies(strategy="graph_wins"),
    "clear_existing": lambda sync: sync.rebuild_graph(clear_existing=True),
}


@pytest.mark.parametrize("field", BAD)
async def test_bad_input_is_refused(stores: Stores, field: str) -> None:
    """A wrong depth, rate, tenant or strategy is refused by name, and no run is begun."""
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        with pytest.raises(InvalidInputError) as refused:
            await BAD[field](sync)
        assert refused.value.field == field
        assert await sync.list_runs() == []


async def test_a_service_without_a_graph_has_nothing_to_check(stores: Stores) -> None:
    """Without a graph a check is refused with a sentence, not answered with success."""
    async with stores.service(graph="none://") as memories:
        with pytest.raises(SyncError, match="no graph store"):
            await AsyncSyncService(memories).check_consistency()


async def test_the_embedded_graph_is_no_independent_copy(stores: Stores) -> None:
    """A graph projected by this very process is checked after it has followed truth, and the report says what it is."""
    async with stores.service(graph="memory://") as memories:
        await memories.store_many([draft(i) for i in range(5)])
        sync = AsyncSyncService(memories)
        for user in (None, ALICE):
            report = await sync.check_consistency(Depth.FULL, user_id=user)
            assert (report.in_step, report.independent, report.checked.vector) == (True, False, 5)
            assert report.notes


async def test_what_the_checks_have_found_is_counted(stores: Stores) -> None:
    """Statistics are null until something was measured, then say what the last checks, repairs and rebuilds did."""
    async with stores.service() as memories:
        await fill(memories, (ALICE,), 20)
        sync = AsyncSyncService(memories)
        nothing = await sync.get_stats()
        assert (dict(nothing.last_checks), nothing.open, nothing.repaired, nothing.rebuilds) == ({}, None, None, None)
        await drifts.stale(stores, [Key(ALICE, "m0001"), Key(ALICE, "m0002")])
        await sync.check_consistency()
        found = await sync.get_stats()
        assert (found.last_checks[Depth.QUICK].found, dict(found.open or {})) == (2, {Kind.STALE: 2})
        await sync.repair_inconsistencies(dry_run=False)
        await sync.rebuild_graph()
        result = await sync.full_sync(Depth.STRUCTURE)
        assert (result.in_step, result.repair.planned) == (True, 0)
        stats = await sync.get_stats()
        assert (dict(stats.open or {}), stats.repaired, stats.repairs, stats.rebuilt) == ({}, 2, 2, 20)
        assert [point.found for point in stats.drift] == [2]
        assert await sync.prune(age=3600) == 0
