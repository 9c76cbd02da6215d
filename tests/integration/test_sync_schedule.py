"""The schedule: what is due by the record, one runner among several, what is in the way, what follows from a check."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from persistence import (
    AsyncPersistenceService,
    ConfigurationError,
    GraphUnavailableError,
    Key,
    ServiceClosedError,
    VectorStoreUnavailableError,
)
from persistence.ports.runs import RunKind
from sync import AsyncSyncService, Depth, RunState
from sync.asked import asked_of
from sync.schedule import AutoSync, opened
from tests.faults import drifts
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, Stores, until
from tests.integration.auto_sync import LEASE, QUICK_ONLY, Clock, Gate, age, fill

ALL_DEPTHS = {"sync_jitter": 0.0, "sync_full_every": "1d"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def runs(memories: AsyncPersistenceService, kind: RunKind | None = None) -> list[Any]:
    """Return the runs, the oldest first."""
    return (await AsyncSyncService(memories).list_runs(kind=kind, limit=1_000))[::-1]


async def depths(memories: AsyncPersistenceService) -> list[str]:
    """Return the depth of each check, the oldest first."""
    return [run.request["depth"] for run in await runs(memories, RunKind.CHECK)]


async def damage(stores: Stores) -> None:
    await drifts.missing(stores, [Key(ALICE, "m0003")])


# --- what is due ------------------------------------------------------------------------------------------------


async def test_each_depth_comes_at_its_time(stores: Stores, clock: Clock) -> None:
    """What was never checked is checked fully at once; then quick checks come often, structure checks rarer."""
    async with stores.service(**ALL_DEPTHS) as memories:
        await fill(memories)
        auto = AutoSync(memories, clock=clock)
        await auto.turn()
        await auto.turn()
        assert await depths(memories) == ["full"]
        clock.forward(minutes=14)
        await auto.turn()
        assert await depths(memories) == ["full"]
        clock.forward(minutes=1.5)
        await auto.turn()
        assert await depths(memories) == ["full", "quick"]
        clock.forward(hours=6)
        await auto.turn()
        await auto.turn()
        assert await depths(memories) == ["full", "quick", "structure"]
        clock.forward(hours=24)
        await auto.turn()
        await auto.turn()
        assert await depths(memories) == ["full", "quick", "structure", "full"]
        assert (auto.checks, auto.skipped, auto.failed, auto.repairs) == (4, 0, 0, 0)


async def test_a_restart_neither_forgets_nor_repeats(stores: Stores) -> None:
    """What is due is read from the record: a new process goes on where the former one was."""
    for minutes, expected in [(0, 1), (0, 1), (10, 1), (6, 2), (0, 2), (14, 2), (120, 3)]:
        if minutes:
            await age(stores, minutes=minutes)
        async with stores.service(**ALL_DEPTHS) as memories, AutoSync(memories) as auto:
            await until(lambda n=expected: _are(memories, n), what="the checks that are due")
            await auto.turn()
            assert len(await depths(memories)) == expected


async def _are(memories: AsyncPersistenceService, number: int) -> bool:
    found = await runs(memories)
    return len(found) == number and all(run.state is RunState.DONE for run in found)


async def test_checks_by_hand_count(stores: Stores, clock: Clock) -> None:
    """A check of all tenants made by hand counts for its depth and those above it; one of a tenant does not."""
    async with stores.service(**ALL_DEPTHS) as memories:
        sync, auto = AsyncSyncService(memories), AutoSync(memories, clock=clock)
        await sync.check_consistency(Depth.FULL, user_id=ALICE)
        await sync.check_consistency(Depth.STRUCTURE)
        await auto.turn()
        assert await depths(memories) == ["full", "structure", "full"]
        clock.forward(hours=5)
        await sync.check_consistency(Depth.STRUCTURE, user_id=ALICE)
        await auto.turn()
        assert (await depths(memories))[3:] == ["structure", "quick"]


async def test_a_full_sync_counts_as_a_check(stores: Stores, clock: Clock) -> None:
    """A full sync of all tenants made by hand, or from cron, is a check of its depth: none is due right after it."""
    async with stores.service(**ALL_DEPTHS) as memories:
        sync, auto = AsyncSyncService(memories), AutoSync(memories, clock=clock)
        await sync.full_sync(Depth.FULL)
        await auto.turn()
        assert (auto.checks, [run.kind for run in await sync.list_runs()]) == (0, [RunKind.FULL])
        clock.forward(hours=1)
        await auto.turn()
        assert auto.checks == 1


async def test_old_runs_leave_the_record(stores: Stores, clock: Clock) -> None:
    """After a scheduled check, and before a full sync, ended runs beyond the retention go; the newest of each stays."""
    async with stores.service(**ALL_DEPTHS) as memories:
        sync, auto = AsyncSyncService(memories), AutoSync(memories, clock=clock)
        for _ in range(3):
            await sync.check_consistency(user_id=ALICE)
        await stores.rows("UPDATE runs SET finished_at = finished_at - interval '31 days'")
        await auto.turn()
        assert [run.user_id for run in await sync.list_runs()] == [None, ALICE]
        await sync.check_consistency(user_id=ALICE)
        await stores.rows("UPDATE runs SET finished_at = finished_at - interval '31 days'")
        await sync.full_sync()
        assert [(run.kind, run.user_id) for run in await sync.list_runs()] == [
            (RunKind.FULL, None),
            (RunKind.CHECK, ALICE),
            (RunKind.CHECK, None),
        ]


async def test_the_record_is_read_as_far_back_as_it_matters(stores: Stores) -> None:
    """A rare check is found behind very many others."""
    async with stores.service(**ALL_DEPTHS) as memories:
        full = await AsyncSyncService(memories).check_consistency(Depth.FULL)
        await age(stores, minutes=6)
        await stores.rows(
            "INSERT INTO runs (id, kind, user_id, state, request, token, started_at, updated_at, finished_at)"
            ' SELECT timed_uuid(r.started_at + n * age), kind, user_id, state, request || \'{"depth": "quick"}\','
            " token, started_at + n * age, updated_at + n * age, finished_at + n * age"
            " FROM runs AS r CROSS JOIN generate_series(1, 300) AS n CROSS JOIN (SELECT '1s'::interval AS age)"
            " WHERE r.id = %s",
            full.run_id,
        )
        assert (await turn(memories)).checks == 0
        await age(stores, hours=7)
        await turn(memories)
        found = await depths(memories)
        assert (len(found), found.count("structure")) == (302, 1)


async def turn(memories: AsyncPersistenceService) -> AutoSync:
    """Have a process that has just started do what is due."""
    auto = AutoSync(memories)
    await auto.turn()
    await auto._lead.give_back()
    return auto


async def test_a_cron_expression_is_kept_to(stores: Stores) -> None:
    """A check comes when the time that the expression names has passed since the last one, and then once."""
    async with stores.service(**{**QUICK_ONLY, "sync_quick_every": "0 3 1 1 *"}) as memories:
        for days, expected in [(0, 1), (0, 0), (366, 1), (0, 0), (4_000, 1), (0, 0)]:
            await age(stores, days=days)
            assert (await turn(memories)).checks == expected


async def test_a_clock_that_is_ahead_repeats_nothing(stores: Stores, clock: Clock) -> None:
    """The record is kept by the truth store's clock; a process whose clock is ahead does not check all the time."""
    clock.forward(hours=5)
    async with stores.service(**QUICK_ONLY) as memories:
        auto = AutoSync(memories, clock=clock)
        for _ in range(4):
            await auto.turn()
        assert auto.checks == 1
        clock.forward(minutes=16)
        await auto.turn()
        assert auto.checks == 2


@pytest.mark.parametrize(
    "settings", [{"sync_quick_every": "soon"}, {"sync_timezone": "Nowhere"}, {"sync_webhook_url": "ftp://x/secret"}]
)
async def test_a_wrong_setting_is_refused_at_once(stores: Stores, settings: dict[str, Any]) -> None:
    """A schedule that cannot be read is refused when the schedule is made, not when the first check is due."""
    async with stores.service(**settings) as memories:
        with pytest.raises(ConfigurationError) as caught:
            AutoSync(memories)
        assert "secret" not in str(caught.value)
    with pytest.raises(ServiceClosedError):
        AutoSync(memories)


# --- one runner -------------------------------------------------------------------------------------------------


async def test_several_processes_have_one_runner(stores: Stores, clock: Clock) -> None:
    """Of three services at once one works; each time comes once; where the runner leaves, another one goes on."""
    async with (
        stores.service(**QUICK_ONLY) as one,
        stores.service(**QUICK_ONLY) as two,
        stores.service(**QUICK_ONLY) as three,
    ):
        autos = [AutoSync(memories, clock=clock) for memories in (one, two, three)]
        for number in range(1, 6):
            await asyncio.gather(*(auto.turn() for auto in autos))
            assert sum(auto.checks for auto in autos) == number
            clock.forward(minutes=16)
        (runner,) = (auto for auto in autos if auto.checks)
        assert runner.checks == 5
        assert all(auto.skipped == auto.failed == 0 for auto in autos)
        leaving = asyncio.create_task(runner.run())
        await until(lambda: _worked(runner, 6), what="the runner's own loop")
        leaving.cancel()
        await asyncio.wait({leaving})
        clock.forward(minutes=16)
        await asyncio.gather(*(auto.turn() for auto in autos if auto is not runner))
        assert sum(auto.checks for auto in autos) == 7
        assert runner.checks == 6


async def _worked(auto: AutoSync, checks: int) -> bool:
    return auto.checks >= checks


async def test_a_runner_that_dies_is_followed_by_another(stores: Stores) -> None:
    """Where the runner is killed in the middle of a check, another takes over after its lease, with the same run."""
    async with stores.service(run_lease=LEASE, **QUICK_ONLY) as memories:
        await fill(memories)
        command = [sys.executable, "-m", "tests.integration.auto_sync", json.dumps(dataclasses.asdict(stores))]
        child = await asyncio.create_subprocess_exec(*command)
        assert await child.wait() == -signal.SIGKILL
        (dead,) = await runs(memories)
        assert dead.state is RunState.RUNNING
        auto = AutoSync(memories)

        async def taken_over() -> bool:
            await auto.turn()
            return auto.checks == 1

        await until(taken_over, what="the dead runner's lease")
        (done,) = await runs(memories)
        assert (done.id, done.state, done.attempts) == (dead.id, RunState.DONE, 2)
        assert done.report["in_step"]


async def test_the_lease_is_kept_while_a_check_takes_long(stores: Stores) -> None:
    """A check may take longer than the lease: nobody takes over from a runner that lives."""
    graph, gate = Hooked(stores.graph()), Gate()
    graph.before["bucket_sums"] = gate
    settings = {**QUICK_ONLY, "run_lease": LEASE}
    async with stores.service(graph=graph, **settings) as one, stores.service(**settings) as two:
        runner, other = AutoSync(one), AutoSync(two)
        work = asyncio.create_task(runner.turn())
        await gate.came.wait()
        tokens = await stores.rows("SELECT token, expires_at FROM leases WHERE name = 'auto-sync'")

        async def renewed_often() -> bool:
            await other.turn()
            (now,) = await stores.rows("SELECT expires_at FROM leases WHERE name = 'auto-sync'")
            return (now["expires_at"] - tokens[0]["expires_at"]).total_seconds() > 2 * LEASE

        await until(renewed_often, what="a lease renewed beyond its own length")
        gate.go.set()
        await work
        assert (runner.checks, other.checks, other.skipped) == (1, 0, 0)
        assert len(await runs(one)) == 1


async def test_a_cancelled_schedule_leaves_its_lease_and_its_run(stores: Stores) -> None:
    """Closing in the middle of a check gives back both leases at once; the next process finishes that very run."""
    graph, gate = Hooked(stores.graph()), Gate()
    graph.before["bucket_sums"] = gate
    async with stores.service(graph=graph, **QUICK_ONLY) as memories:
        await fill(memories)
        async with AutoSync(memories):
            await gate.came.wait()
        (left,) = await runs(memories)
        assert left.state is RunState.INTERRUPTED
        assert await memories.parts.truth.store.hold("auto-sync", holder=uuid4(), lease=0.001)
    async with stores.service(**QUICK_ONLY) as memories:
        await until(lambda: _done_by(AutoSync(memories), memories), what="the run that was left")
        (done,) = await runs(memories)
        assert (done.id, done.state, done.attempts) == (left.id, RunState.DONE, 2)


async def test_closing_ends_it_though_its_run_was_lost(stores: Stores) -> None:
    """Closed in the middle of a check that somebody has taken over, the schedule ends all the same."""
    graph, gate = Hooked(stores.graph()), Gate()
    graph.before["bucket_sums"] = gate
    async with stores.service(graph=graph, **QUICK_ONLY) as memories:
        async with AutoSync(memories):
            await gate.came.wait()
            await stores.rows("UPDATE runs SET token = token + 1")
        assert [run.state for run in await runs(memories)] == [RunState.RUNNING]


async def _done_by(auto: AutoSync, memories: AsyncPersistenceService) -> bool:
    await auto.turn()
    await auto._lead.give_back()
    return (await runs(memories))[-1].state is RunState.DONE


async def test_an_old_remainder_is_left_alone(stores: Stores, clock: Clock) -> None:
    """A check that was interrupted so long ago that its next time has come is begun anew."""
    async with stores.service(**QUICK_ONLY) as memories:
        store = memories.parts.truth.store
        run = await store.begin_run(RunKind.CHECK, None, asked_of(None, None).saved(), holder=uuid4(), lease=60)
        await store.finish_run(run.id, run.token, RunState.INTERRUPTED, {})
        clock.forward(minutes=16)
        await AutoSync(memories, clock=clock).turn()
        assert [run.state for run in await runs(memories)] == [RunState.INTERRUPTED, RunState.DONE]


# --- overlap ----------------------------------------------------------------------------------------------------


async def test_what_is_in_the_way_is_said_once(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """A check by hand is in the way: the scheduled one is skipped, said and counted once; then the record decides."""
    caplog.set_level(logging.INFO, "diptych")
    async with stores.service(**QUICK_ONLY) as memories, _renewed(memories) as run:
        auto = AutoSync(memories)
        await auto.turn()
        await auto.turn()
        assert (auto.checks, auto.skipped, auto.failed) == (0, 1, 0)
        assert [record.run_id for record in caplog.records if record.msg == "A scheduled run is put off."] == [
            str(run.id)
        ]
        report = {"complete": True, "found": 0, "counts": {}, "depth": "quick"}
        await memories.parts.truth.store.finish_run(run.id, run.token, RunState.DONE, report)
        await auto.turn()
        assert (auto.checks, len(await runs(memories))) == (0, 1)


@asynccontextmanager
async def _renewed(memories: AsyncPersistenceService) -> AsyncIterator[Any]:
    """Hold a check of all tenants, as another process would, and renew its lease."""
    store = memories.parts.truth.store
    run = await store.begin_run(RunKind.CHECK, None, asked_of(None, None).saved(), holder=uuid4(), lease=60)

    async def renew() -> None:
        while True:
            await store.renew_run(run.id, run.token, lease=60)
            await asyncio.sleep(0.05)

    beat = asyncio.create_task(renew())
    try:
        yield run
    finally:
        beat.cancel()
        await asyncio.wait({beat})


async def test_a_check_that_runs_into_its_next_time_is_said(stores: Stores, clock: Clock) -> None:
    """Where a check takes longer than the time to the next, that one is skipped and counted."""
    graph, gate = Hooked(stores.graph()), Gate()
    graph.before["bucket_sums"] = gate
    async with stores.service(graph=graph, **QUICK_ONLY) as memories:
        auto = AutoSync(memories, clock=clock)
        work = asyncio.create_task(auto.turn())
        await gate.came.wait()
        clock.forward(minutes=20)
        gate.go.set()
        await work
        assert (auto.checks, auto.skipped) == (1, 1)


# --- what follows from a check ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "repairs"), [("none", 0), ("report_only", 0), ("repair", 1)])
async def test_the_policy_says_what_follows(stores: Stores, clock: Clock, policy: str, repairs: int) -> None:
    """Drift is in the record under every policy; only under `repair` it is mended, and then nothing is left."""
    async with stores.service(**QUICK_ONLY, sync_policy=policy) as memories:
        await fill(memories)
        await damage(stores)
        auto = AutoSync(memories, clock=clock)
        await auto.turn()
        assert (auto.checks, auto.repairs) == (1, repairs)
        kinds = [run.kind for run in await runs(memories)]
        assert kinds == [RunKind.CHECK] + [RunKind.REPAIR] * repairs
        assert bool(await AsyncSyncService(memories).list_inconsistencies()) is (repairs == 0)
        if repairs:
            await stores.assert_in_step()
        clock.forward(minutes=16)
        await auto.turn()
        assert auto.repairs == repairs


async def test_no_repair_follows_from_a_check_that_was_incomplete(stores: Stores) -> None:
    """A graph that goes away in the middle is no reason to change anything."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, **QUICK_ONLY, sync_policy="repair") as memories:
        await fill(memories)
        await damage(stores)
        graph.before["heads"] = failing(GraphUnavailableError())
        auto = AutoSync(memories)
        await auto.turn()
        (run,) = await runs(memories)
        assert (run.report["complete"], auto.checks, auto.repairs) == (False, 1, 0)


async def test_a_repair_mends_a_graph_that_was_emptied(stores: Stores) -> None:
    """A check only counts what an emptied graph lacks; the repair that follows writes all of it."""
    async with stores.service(**QUICK_ONLY, sync_policy="repair") as memories:
        await fill(memories, 510)
        await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity) DETACH DELETE n")
        await AutoSync(memories).turn()
        await stores.assert_in_step()


# --- the loop ---------------------------------------------------------------------------------------------------


async def test_the_loop_rests_as_long_as_the_lease_allows(stores: Stores, clock: Clock) -> None:
    """Between two checks the loop looks up in time to renew its lease, and is there when the next one is due."""
    rests: list[float] = []
    enough = asyncio.Event()

    async def rest(seconds: float) -> None:
        if auto.checks == 3:
            enough.set()
            await asyncio.Event().wait()
        rests.append(seconds)
        clock.forward(seconds=seconds)

    settings = {**QUICK_ONLY, "sync_quick_every": "20s"}
    async with stores.service(**settings) as memories:
        auto = AutoSync(memories, clock=clock, sleep=rest)
        async with auto:
            await enough.wait()
    assert 20 < sum(rests) <= 41
    assert 0 < max(rests) <= 5


async def test_an_outage_of_truth_does_not_end_it(stores: Stores) -> None:
    """While truth is away nothing is done, and said; then it goes on."""
    vector = Hooked(stores.vector())
    async with stores.service(vector=vector, **QUICK_ONLY) as memories:
        auto = AutoSync(memories)
        vector.before["hold"] = failing(VectorStoreUnavailableError(), times=3)
        await auto.turn()
        assert (auto.checks, auto.failed) == (0, 1)
        await auto.turn()
        assert (auto.checks, auto.failed) == (1, 1)


async def test_a_defect_is_said_and_raised(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """What is no error of a store ends the schedule: said at once, raised where the block is left."""
    vector = Hooked(stores.vector())
    async with stores.service(vector=vector, **QUICK_ONLY) as memories:
        vector.before["hold"] = failing(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            async with AutoSync(memories):
                await until(
                    lambda: _said(caplog, "The schedule of checks ended by a defect."), what="a line in the log"
                )


async def _said(caplog: pytest.LogCaptureFixture, sentence: str) -> bool:
    return sentence in caplog.messages


async def test_without_a_graph_there_is_nothing_to_do(stores: Stores) -> None:
    """A service without a graph has nothing to check: the schedule ends by itself."""
    async with stores.service(enable_graph_store=False) as memories:
        await AutoSync(memories).run()
        assert await runs(memories) == []


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_setting_says_whether_it_runs_beside_a_service(stores: Stores, enabled: bool) -> None:  # noqa: FBT001  # a setting
    """`opened` opens a service, and runs the schedule where `enable_auto_sync` is on."""
    config = stores.config(enable_auto_sync=enabled, **QUICK_ONLY)
    async with opened(AsyncPersistenceService.connect(config=config)) as sync:
        if enabled:
            await until(lambda: _one_is_done(sync), what="the first scheduled check")
        assert len(await sync.list_runs(state=RunState.DONE)) == enabled


async def _one_is_done(sync: AsyncSyncService) -> bool:
    return bool(await sync.list_runs(state=RunState.DONE))
