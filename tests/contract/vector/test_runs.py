"""Runs and their leases. A lease of 0 seconds is one whose holder has died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from persistence.errors import (
    InvalidInputError,
    LeaseLostError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
)
from persistence.ports.runs import Run, RunKind, RunQuery, RunState, RunTotals
from persistence.ports.vector import VectorStore
from tests.contract.vector.conftest import Backend
from tests.contract.vector.making import DIMENSION

ENDED = [RunState.DONE, RunState.FAILED, RunState.CANCELLED]


async def begin(store: VectorStore, user_id: str | None = "ada", kind: RunKind = RunKind.CHECK, **given: Any) -> Run:
    lease = given.pop("lease", 60)
    return await store.begin_run(kind, user_id, given, holder=uuid4(), lease=lease)


async def resume(store: VectorStore, run: Run, lease: float = 60) -> Run:
    return await store.resume_run(run.id, holder=uuid4(), lease=lease)


async def finish(store: VectorStore, run: Run, state: RunState = RunState.DONE) -> Run:
    return await store.finish_run(run.id, run.token, state, {"state": state.value})


@pytest.fixture
async def stores(backend: Backend) -> AsyncIterator[list[VectorStore]]:
    """Return three stores on the same storage, as three processes have them."""
    async with AsyncExitStack() as stack:
        opened = [backend() for _ in range(3)]
        for store in opened:
            stack.push_async_callback(store.close)
            await store.open(model="test", dimension=DIMENSION)
        yield opened


async def test_begin(store: VectorStore) -> None:
    """A run that has begun is running, with its request and its lease, and is found by its id."""
    run = await begin(store, depth="quick", ids=["a", "é"])
    assert (run.kind, run.user_id, run.state, run.attempts) == (RunKind.CHECK, "ada", RunState.RUNNING, 1)
    assert (run.request, run.cursor, run.report) == ({"depth": "quick", "ids": ["a", "é"]}, None, None)
    assert (run.cancel_requested, run.finished_at, run.started_at) == (False, None, run.updated_at)
    assert 59 < (run.lease_expires_at - run.started_at).total_seconds() < 61
    assert await store.run(run.id) == run
    assert await store.run(uuid4()) is None


@pytest.mark.parametrize(("first", "second"), [(None, None), (None, "ada"), ("ada", None), ("ada", "ada")])
async def test_two_of_a_kind(store: VectorStore, first: str | None, second: str | None) -> None:
    """A run under way keeps out those of its kind that share a tenant with it; the error holds it, and names it."""
    run = await begin(store, first)
    with pytest.raises(RunConflictError) as caught:
        await begin(store, second)
    assert caught.value.run == run
    assert str(run.id) in caught.value.hint
    assert ("all tenants" if first is None else "'ada'") in caught.value.message
    assert await store.runs(RunQuery()) == [run]


async def test_two_that_share_nothing(store: VectorStore) -> None:
    """Runs of other kinds and of other tenants go on beside each other, and a run that ended is in nobody's way."""
    for kind in RunKind:
        await begin(store, "ada", kind)
        bob = await begin(store, "bob", kind)
        await finish(store, bob)
        await begin(store, "bob", kind)
    assert len(await store.runs(RunQuery(state=RunState.RUNNING))) == 2 * len(RunKind)


@pytest.mark.parametrize("outcomes", [[[None]], [["ada"]], [[None], ["ada", "bob"]]])
async def test_racing_to_begin(stores: list[VectorStore], outcomes: list[list[str | None]]) -> None:
    """Of many that begin at once in several processes, no two that share a tenant are under way."""

    async def attempt(store: VectorStore, user_id: str | None) -> Run | None:
        try:
            return await begin(store, user_id, lease=600)  # none may run out, however slow the store is
        except RunConflictError:
            return None

    tenants = [user_id for outcome in outcomes for user_id in outcome]
    runs = await asyncio.gather(*(attempt(store, user_id) for _ in range(4) for store in stores for user_id in tenants))
    assert sorted((run.user_id for run in runs if run), key=str) in outcomes


async def test_a_dead_run_is_replaced(store: VectorStore) -> None:
    """A run whose lease has run out gives way to a new one, is interrupted, and its process finds that it lost it."""
    dead = await begin(store, lease=0)
    await store.save_run(dead.id, dead.token, {"at": 1}, lease=0)
    run = await begin(store)
    assert run.token > dead.token
    left = await store.run(dead.id)
    assert (left.state, left.cursor, left.lease_expires_at) == (RunState.INTERRUPTED, {"at": 1}, None)
    await fenced_off(store, dead)
    assert await store.run(dead.id) == left


async def fenced_off(store: VectorStore, former: Run) -> None:
    """Assert that whoever held the run can do nothing to it."""
    await refused(store, former.id, former.token)


async def refused(store: VectorStore, run_id: UUID, token: int) -> None:
    """Assert that nothing can be done to a run with this token."""
    with pytest.raises(LeaseLostError):
        await store.save_run(run_id, token, {"at": 99}, lease=60)
    with pytest.raises(LeaseLostError):
        await store.renew_run(run_id, token, lease=60)
    with pytest.raises(LeaseLostError):
        await store.finish_run(run_id, token, RunState.DONE, {"at": 99})


async def test_a_dead_run_that_nobody_took(store: VectorStore) -> None:
    """A lease that has run out, but was taken by nobody, is simply renewed."""
    for change in (
        lambda run: store.save_run(run.id, run.token, {}, lease=60),
        lambda run: store.renew_run(run.id, run.token, lease=60),
    ):
        run = await begin(store, lease=0)
        assert await change(run) is False
        with pytest.raises(RunConflictError):
            await begin(store)
        await finish(store, run)


async def test_a_refused_run_replaces_nothing(store: VectorStore) -> None:
    """Where one run stands in the way, dead ones beside it stay as they are; of other tenants they always do."""
    dead = await begin(store, "ada", lease=0)
    await begin(store, "bob")
    with pytest.raises(RunConflictError):
        await begin(store, None)
    await begin(store, "eve")
    assert await store.run(dead.id) == dead
    await store.renew_run(dead.id, dead.token, lease=60)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.INTERRUPTED, RunState.CANCELLED])
async def test_resume(store: VectorStore, state: RunState) -> None:
    """A run that was interrupted or cancelled, or has died, goes on from its cursor, and its former holder is out."""
    first = await begin(store, depth="full")
    await store.cancel_run(first.id)
    await store.save_run(first.id, first.token, {"at": 7}, lease=0)
    if state is not RunState.RUNNING:
        await finish(store, first, state)
    run = await resume(store, first)
    assert (run.id, run.state, run.cursor, run.attempts) == (first.id, RunState.RUNNING, {"at": 7}, 2)
    assert (run.request, run.started_at) == (first.request, first.started_at)
    assert (run.cancel_requested, run.finished_at) == (False, None)
    assert run.token > first.token
    await fenced_off(store, first)
    assert await store.save_run(run.id, run.token, {"at": 8}, lease=60) is False


async def test_what_cannot_be_resumed(store: VectorStore) -> None:
    """An unknown run, one that is done or failed, one under way, and one whose place is taken: each says so."""
    with pytest.raises(RunNotFoundError):
        await store.resume_run(uuid4(), holder=uuid4(), lease=60)
    for state in (RunState.DONE, RunState.FAILED):
        with pytest.raises(RunEndedError):
            await resume(store, await finish(store, await begin(store), state))
    interrupted = await finish(store, await begin(store), RunState.INTERRUPTED)
    run = await begin(store, None)
    for wanted in (run, interrupted):
        with pytest.raises(RunConflictError) as caught:
            await resume(store, wanted)
        assert caught.value.run == run
    assert await store.run(interrupted.id) == interrupted


async def test_a_resumption_refused_replaces_nothing(store: VectorStore) -> None:
    """A dead run stays what it is while another one of its kind and tenant is asked for in vain."""
    done = await finish(store, await begin(store))
    dead = await begin(store, lease=0)
    with pytest.raises(RunEndedError):
        await resume(store, done)
    await store.renew_run(dead.id, dead.token, lease=60)


async def test_resuming_takes_the_place_of_the_dead(store: VectorStore) -> None:
    """Resuming a run interrupts a dead one in its place."""
    interrupted = await finish(store, await begin(store), RunState.INTERRUPTED)
    dead = await begin(store, None, lease=0)
    await resume(store, interrupted)
    assert (await store.run(dead.id)).state is RunState.INTERRUPTED
    await fenced_off(store, dead)


async def test_racing_to_resume(stores: list[VectorStore]) -> None:
    """Of many that resume or begin at once, in several processes, exactly one wins."""
    for _ in range(5):
        dead = await begin(stores[0], lease=0)
        calls = [call for store in stores for call in (resume(store, dead), begin(store))]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        (won,) = [answer for answer in answers if isinstance(answer, Run)]
        assert {type(answer) for answer in answers} == {Run, RunConflictError}
        await finish(stores[0], won)


async def test_tokens_grow(store: VectorStore) -> None:
    """Every holder of whatever run or lease has a higher token than all before."""
    runs = [await begin(store, kind=kind, lease=0) for kind in RunKind]
    again = [await resume(store, run) for run in runs]
    tokens = [run.token for run in [*runs, *again]] + [await store.hold("x", holder=uuid4(), lease=1)]
    assert tokens == sorted(set(tokens))


async def test_cancel(store: VectorStore) -> None:
    """Whoever runs a run is told at each save and renewal that it was asked to stop; stopped, it has ended."""
    run = await begin(store)
    assert await store.save_run(run.id, run.token, {}, lease=60) is False
    asked = await store.cancel_run(run.id)
    assert (asked.state, asked.cancel_requested, asked.finished_at) == (RunState.RUNNING, True, None)
    assert await store.save_run(run.id, run.token, {}, lease=60) is True
    assert await store.renew_run(run.id, run.token, lease=60) is True
    assert (await finish(store, run, RunState.CANCELLED)).state is RunState.CANCELLED


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.INTERRUPTED])
async def test_cancel_what_nobody_runs(store: VectorStore, state: RunState) -> None:
    """A run that was interrupted, or has died, is cancelled at once."""
    run = await begin(store, lease=0)
    if state is RunState.INTERRUPTED:
        await finish(store, run, state)
    cancelled = await store.cancel_run(run.id)
    assert (cancelled.state, cancelled.lease_expires_at) == (RunState.CANCELLED, None)
    assert cancelled.finished_at is not None
    await fenced_off(store, run)


@pytest.mark.parametrize("state", ENDED)
async def test_cancel_what_has_ended(store: VectorStore, state: RunState) -> None:
    """A run that has ended stays as it is; an unknown one is an error."""
    ended = await finish(store, await begin(store), state)
    assert await store.cancel_run(ended.id) == ended
    with pytest.raises(RunNotFoundError):
        await store.cancel_run(uuid4())


@pytest.mark.parametrize("state", [*ENDED, RunState.INTERRUPTED])
async def test_finish(store: VectorStore, state: RunState) -> None:
    """A run ends once, with its report, and gives its lease back; an interrupted one has not ended."""
    run = await begin(store)
    over = await finish(store, run, state)
    assert (over.state, over.report, over.lease_expires_at) == (state, {"state": state.value}, None)
    assert (over.finished_at is None) == (state is RunState.INTERRUPTED)
    assert await store.run(run.id) == over
    await fenced_off(store, run)
    await begin(store)


async def test_to_run_is_no_end(store: VectorStore) -> None:
    """A run cannot be ended as running."""
    run = await begin(store)
    with pytest.raises(InvalidInputError):
        await finish(store, run, RunState.RUNNING)
    assert await store.run(run.id) == run


async def test_whose_token(store: VectorStore) -> None:
    """One run's token opens no other run, and a guessed one opens nothing."""
    ada, bob = await begin(store, "ada"), await begin(store, "bob")
    for run_id, token in ((ada.id, bob.token), (bob.id, ada.token), (ada.id, 0), (uuid4(), ada.token)):
        await refused(store, run_id, token)
    assert [await store.run(run.id) for run in (ada, bob)] == [ada, bob]


async def test_cursor_and_report_come_back_as_they_went(store: VectorStore) -> None:
    """What is JSON survives request, cursor and report: Unicode, nesting, numbers at their limits, nothing at all."""
    value = {
        "é\U0001f600": ["", 'quote " and \\ and \n', "\u2028", "\ufffd"],
        "numbers": [0, -1, 2**53 - 1, 2**63 - 1, -(2**63), 0.1, 1e-7, 1e20, 1e300],
        "nested": {"none": None, "true": True, "false": False, "empty": {}, "list": []},
    }
    run = await store.begin_run(RunKind.CHECK, None, value, holder=uuid4(), lease=60)
    assert run.request == value
    await store.save_run(run.id, run.token, value, lease=60)
    assert (await store.run(run.id)).cursor == value
    assert (await store.finish_run(run.id, run.token, RunState.INTERRUPTED, value)).report == value
    run = await resume(store, run)
    assert run.cursor == value
    await store.save_run(run.id, run.token, {}, lease=60)
    over = await store.finish_run(run.id, run.token, RunState.DONE, {})
    assert (over.cursor, over.report) == ({}, {})


async def some_runs(store: VectorStore) -> list[Run]:
    """Leave runs of several tenants, kinds and states; return them, the newest first."""
    runs = []
    for i, user_id in enumerate([None, "ada", "é\U0001f600"] * 4):
        kind = [RunKind.CHECK, RunKind.REPAIR][i % 2]
        runs.append(await finish(store, await begin(store, user_id, kind), [*ENDED, RunState.INTERRUPTED][i % 4]))
    runs.append(await begin(store, "ada"))
    return runs[::-1]


async def test_list(store: VectorStore) -> None:
    """Runs are listed the newest first, page by page, though the run a page ended with be gone."""
    runs = await some_runs(store)
    assert await store.runs(RunQuery()) == runs
    seen: list[Run] = []
    while page := await store.runs(RunQuery(), before=seen[-1].id if seen else None, limit=5):
        seen += page
    assert seen == runs
    assert await store.prune(age=0) > 0
    left = [run for run in runs if await store.run(run.id)]
    gone = next(run for run in runs if run not in left)
    assert await store.runs(RunQuery(), before=gone.id) == left[left.index(next(r for r in left if r.id < gone.id)) :]


@pytest.mark.parametrize("kind", [None, RunKind.CHECK, RunKind.FULL])
@pytest.mark.parametrize("user_id", [None, "", "ada", "é\U0001f600", "nobody"])
async def test_list_some(store: VectorStore, kind: RunKind | None, user_id: str | None) -> None:
    """Runs are listed by kind, tenant (the empty one: all tenants together), state, finished or not, and by all."""
    runs = await some_runs(store)
    for state in (None, *RunState):
        for finished in (None, True, False):
            expected = [
                run
                for run in runs
                if kind in {None, run.kind}
                and user_id in {None, run.user_id or ""}
                and state in {None, run.state}
                and finished in {None, run.state in ENDED}
            ]
            assert await store.runs(RunQuery(kind, user_id, state, finished)) == expected
            assert await store.runs(RunQuery(kind, user_id, state, finished), limit=2) == expected[:2]


@pytest.mark.parametrize("kind", [RunKind.CHECK, RunKind.FULL])
async def test_last_checks(store: VectorStore, kind: RunKind) -> None:
    """Of each depth the newest check or full sync that was brought to its end counts, whatever ended otherwise."""
    assert await store.last_checks() == []
    for depth in ("quick", "structure"):
        await finish(store, await begin(store, None, depth=depth))
    newest = await finish(store, await begin(store, "bob", kind, depth="quick"))
    for state in (RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED):
        await finish(store, await begin(store, depth="quick"), state)
    await finish(store, await begin(store, None, RunKind.REPAIR, depth="full"))
    await begin(store, depth="full")
    last = {run.request["depth"]: run for run in await store.last_checks()}
    assert (set(last), last["quick"]) == ({"quick", "structure"}, newest)


async def test_totals(store: VectorStore) -> None:
    """Repairs and rebuilds that were brought to their end are summed up, plans left out; None where there was none."""
    assert await store.run_totals() == RunTotals(None, None, None, None)
    for kind, report in (
        (RunKind.REPAIR, {"repaired": 3}),
        (RunKind.REPAIR, {"repaired": 0}),
        (RunKind.FULL, {"repair": {"repaired": 40}, "after": {}}),
        (RunKind.CHECK, {"found": 7}),
    ):
        for dry_run, state in ((False, RunState.DONE), (True, RunState.DONE), (False, RunState.CANCELLED)):
            run = await begin(store, kind=kind, dry_run=dry_run)
            await store.finish_run(run.id, run.token, state, report)
    assert await store.run_totals() == RunTotals(3, 43, None, None)
    run = await begin(store, kind=RunKind.REBUILD, dry_run=False)
    await store.finish_run(run.id, run.token, RunState.DONE, {"memories": 2**40})
    assert await store.run_totals() == RunTotals(3, 43, 1, 2**40)


async def kept(store: VectorStore) -> set[UUID]:
    return {run.id for run in await store.runs(RunQuery())}


async def test_prune(store: VectorStore) -> None:
    """Old runs that ended go, the oldest first, no more than the limit at once; unfinished ones stay."""
    old = [(await finish(store, await begin(store), state)).id for state in (*ENDED, RunState.DONE)]
    unfinished = [await begin(store), await finish(store, await begin(store, "bob"), RunState.INTERRUPTED)]
    stay = {run.id for run in unfinished}
    assert await store.prune(age=3_600) == 0
    assert await store.prune(age=0, limit=2) == 2
    assert await kept(store) == {*old[2:], *stay}
    assert await store.prune(age=0, limit=2) == 1
    assert await store.prune(age=0) == 0
    assert await kept(store) == {old[3], *stay}


async def test_the_newest_of_each_stays(store: VectorStore) -> None:
    """Of each kind, depth and tenant the run that ended last is never removed, whenever it began."""
    newest = set()
    for user_id in (None, "ada", "bob"):
        for kind, request in (
            (RunKind.CHECK, {"depth": "quick"}),
            (RunKind.CHECK, {"depth": "full"}),
            (RunKind.FULL, {}),
        ):
            slow = await finish(store, await begin(store, user_id, kind, **request), RunState.INTERRUPTED)
            await finish(store, await begin(store, user_id, kind, **request))
            newest.add((await finish(store, await resume(store, slow))).id)
    assert await store.prune(age=0) == 9
    assert await kept(store) == newest


async def test_a_named_lease(store: VectorStore) -> None:
    """A named lease has one holder, who renews it with the same token; others get it when it was given back."""
    ada, bob = uuid4(), uuid4()
    token = await store.hold("schedule", holder=ada, lease=60)
    assert await store.hold("schedule", holder=bob, lease=60) is None
    assert await store.hold("schedule", holder=ada, lease=60) == token
    assert await store.hold("another", holder=bob, lease=60) is not None
    await store.let_go("schedule", holder=bob)
    assert await store.hold("schedule", holder=bob, lease=60) is None
    await store.let_go("schedule", holder=ada)
    assert await store.hold("schedule", holder=bob, lease=60) > token
    await store.let_go("unknown", holder=ada)


async def test_a_named_lease_that_ran_out(store: VectorStore) -> None:
    """A named lease that has run out goes to whoever asks, and its former holder cannot give it back any more."""
    ada, bob = uuid4(), uuid4()
    token = await store.hold("schedule", holder=ada, lease=0)
    assert await store.hold("schedule", holder=bob, lease=60) > token
    await store.let_go("schedule", holder=ada)
    assert await store.hold("schedule", holder=ada, lease=60) is None


@pytest.mark.parametrize("before", ["nobody had it", "it ran out", "it was given back"])
async def test_racing_for_a_named_lease(stores: list[VectorStore], before: str) -> None:
    """Of many that ask for a lease at once, in several processes, exactly one gets it."""
    former = uuid4()
    if before != "nobody had it":
        await stores[0].hold("schedule", holder=former, lease=0 if before == "it ran out" else 60)
    if before == "it was given back":
        await stores[0].let_go("schedule", holder=former)
    tokens = await asyncio.gather(
        *(store.hold("schedule", holder=uuid4(), lease=60) for store in stores for _ in range(4))
    )
    assert len([token for token in tokens if token is not None]) == 1
