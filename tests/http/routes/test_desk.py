"""The desk: runs that go on in the background, begun, watched, stopped, handed back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.operating import Desk, Order
from persistence.errors import InvalidInputError, RunConflictError, ServiceClosedError, TooManyRunsError
from persistence.ports.runs import Depth, Run, RunKind, RunState
from sync import AsyncSyncService, Pace, Progress
from sync.asked import Asked
from sync.model import Scope

SLOW = Pace(rows_per_second=0.01)


def endless(user_id: str | None = None) -> Order:
    return Order(RunKind.CHECK, depth=Depth.FULL, user_id=user_id, pace=SLOW)


@pytest.fixture
async def desk(memories) -> AsyncIterator[Desk]:
    for user_id in ("u1", "u2", "u3"):
        await memories.store_many([{"content": f"m {i}", "user_id": user_id} for i in range(3)])
    desk = Desk(AsyncSyncService(memories), most=2)
    yield desk
    await desk.close()


async def test_closing_hands_runs_back(desk):
    """A desk that closes interrupts its runs, which have given their lease back then and can be taken up."""
    runs = [await desk.begin(endless(user_id)) for user_id in ("u1", "u2")]
    await desk.close()
    for run in runs:
        left = await desk.sync.get_run(run.id)
        assert (left.state, left.lease_expires_at) == (RunState.INTERRUPTED, None)
    assert desk.leading == 0


async def test_a_closed_desk_begins_nothing(desk):
    """A desk that is closed takes no orders."""
    await desk.close()
    for order in (desk.begin(endless()), desk.resume((await _ended(desk)).id)):
        with pytest.raises(ServiceClosedError):
            await order


async def _ended(desk: Desk) -> Run:
    report = await desk.sync.check_consistency()
    return await desk.sync.get_run(report.run_id)


async def test_runs_at_once_are_bounded(desk):
    """No more than so many runs are led at once; the next is refused, and begun when one has ended."""
    first, _ = [await desk.begin(endless(user_id)) for user_id in ("u1", "u2")]
    with pytest.raises(TooManyRunsError):
        await desk.begin(endless("u3"))
    assert [run.user_id for run in await desk.sync.list_runs()] == ["u2", "u1"]
    (led,) = [led for led in desk._led if led.run_id == first.id]
    led.task.cancel()
    await asyncio.wait({led.task})
    await desk.begin(endless("u3"))


async def test_a_run_in_the_way_is_told_at_once(desk):
    """A run that this desk leads is in the way of those that overlap it, without a wait for its lease."""
    run = await desk.begin(endless("u1"))
    async with asyncio.timeout(2):
        for user_id in ("u1", None):
            with pytest.raises(RunConflictError) as refused:
                await desk.begin(endless(user_id))
            assert refused.value.run.id == run.id
        await desk.begin(endless("u2"))


async def test_a_cancelled_order_leaves_no_task_behind(desk, truth):
    """Whoever is cancelled while a run is being begun leaves no task that closing does not wait for."""
    began, go_on = asyncio.Event(), asyncio.Event()
    begin_run = truth.begin_run

    async def slowly(*given, **more):
        began.set()
        await go_on.wait()
        return await begin_run(*given, **more)

    truth.begin_run = slowly
    order = asyncio.create_task(desk.begin(endless()))
    await began.wait()
    order.cancel()
    with pytest.raises(asyncio.CancelledError):
        await order
    go_on.set()
    await desk.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "diptych-run"]


async def test_an_order_that_cannot_be_carried_out(desk):
    """An order that is refused before it is a run raises what refuses it, and nothing is led."""
    with pytest.raises(InvalidInputError):
        await desk.begin(Order(RunKind.REBUILD, clear_existing=True))
    with pytest.raises(ValueError, match="both of its stores"):
        await desk.begin(Order(RunKind.MOVE))
    assert desk.leading == 0


async def test_every_watcher_hears_the_end(desk):
    """Many watchers of one run each hear how far it is, and its end; closing the desk is an end."""
    run = await desk.begin(endless())
    heard = [asyncio.create_task(_heard(desk, run)) for _ in range(3)]
    await desk.close()
    for steps in await asyncio.gather(*heard):
        *before, last = steps
        assert all(isinstance(step, Progress) for step in before)
        assert (last.id, last.state) == (run.id, RunState.INTERRUPTED)


async def _heard(desk: Desk, run: Run) -> list[Progress | Run]:
    return [step async for step in desk.events(run.id)]


async def test_a_run_of_another_process_is_watched_by_its_record(desk, memories):
    """A run that another desk leads is told by its record, and its end is heard."""
    other = Desk(AsyncSyncService(memories))
    run = await other.begin(endless())
    steps = desk.events(run.id)
    assert (await anext(steps)).state is RunState.RUNNING
    assert (await desk.ended(run.id, within=0.01)).state is RunState.RUNNING
    await other.close()
    assert [step.state async for step in steps][-1] is RunState.INTERRUPTED


async def test_the_key_of_an_order_outlives_the_desk(desk, memories):
    """The same order under the same key means the run that another process began; another order is refused."""
    order = Order(RunKind.CHECK).under("k")
    other = Desk(AsyncSyncService(memories))
    run = await other.begin(order)
    await other.ended(run.id, within=10)
    await other.close()
    assert (await desk.begin(order)).id == run.id
    with pytest.raises(InvalidInputError, match="another order"):
        await desk.begin(Order(RunKind.REPAIR).under("k"))
    assert (await desk.begin(order, among="u1")).id != run.id


def test_what_was_kept_before_there_were_keys_is_read():
    """A request that was kept without a key is read back as one without."""
    saved = Asked(Scope("u1")).saved()
    del saved["once"]
    assert Asked.restored("u1", saved) == Asked(Scope("u1"))
    kept = Order(RunKind.CHECK).under("k").once
    assert Asked.restored("u1", Asked(Scope("u1"), once=kept).saved()).once == kept
