"""What happens between two calls of a check, a repair, a rebuild and the relay. The pair is in memory: no server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from persistence import (
    AsyncPersistenceService,
    GraphStoreError,
    GraphUnavailableError,
    Key,
    Outcome,
    OutcomeUnknownError,
    PersistenceConfig,
)
from persistence.ports.graph import GraphAck, GraphWrite
from persistence.ports.runs import RunKind, RunQuery, RunState
from persistence.vector.memory import MemoryStore
from persistence.vector.memory.state import Table
from persistence.vector.memory.storage import Storage
from sync import AsyncSyncService, Depth, Kind, LeaseLostError
from sync.erasing import erase
from tests.faults.proxies import Hook, Hooked, failing
from tests.faults.simulator.ports import SharedGraph
from tests.faults.stores import ALICE, DIMENSION, draft

ID = "m0001"
KEY = Key(ALICE, ID)
SETTINGS: dict[str, Any] = {"embedding_dimension": DIMENSION, "enable_relay": False, "settle_delay": 0.001}
HOUR = 3_600_000_000


class Pair:
    """Truth and graph in memory, which several services share. ``moment``: truth's time, in microseconds."""

    def __init__(self) -> None:
        self.moment = 1_800_000_000_000_000
        self.storage, self.inner = Storage(clock=lambda: self.moment), SharedGraph()
        self.truth, self.graph = Hooked(MemoryStore(self.storage)), Hooked(self.inner)

    def service(self, *, hooked: bool = False, **settings: Any) -> AsyncPersistenceService:
        """Return a service on both, to be opened."""
        config = PersistenceConfig(**{**SETTINGS, **settings})
        truth: Any = self.truth if hooked else MemoryStore(self.storage)
        graph: Any = self.graph if hooked else self.inner
        return AsyncPersistenceService.connect(truth, graph, config=config)


@pytest.fixture
async def pair() -> Pair:
    """Return a pair with one memory, in step."""
    pair = Pair()
    async with pair.service() as memories:
        assert (await memories.store(**draft(1))).outcome is Outcome.IN_STEP
    return pair


def once(work: Callable[[], Awaitable[None]]) -> Hook:
    """Return a hook that does its work at the first call alone."""

    async def hook(number: int) -> None:
        if number == 1:
            await work()

    return hook


def _by_another(pair: Pair, **memory: Any) -> Callable[[], Awaitable[None]]:
    """Return the work of another process, which stores a memory in both stores."""

    async def store() -> None:
        async with pair.service() as other:
            assert (await other.store(**memory)).outcome is Outcome.IN_STEP

    return store


@pytest.mark.parametrize(("depth", "call"), [(Depth.QUICK, "heads"), (Depth.STRUCTURE, "read")])
async def test_a_write_between_the_looks_of_a_check_is_no_drift(pair: Pair, depth: Depth, call: str) -> None:
    """A memory written, in both stores, after the graph was looked at is not called stale. Guard: truth, once more."""
    pair.graph.after[call] = once(_by_another(pair, **draft(1, metadata={"n": 2})))
    async with pair.service(hooked=True) as memories:
        report = await AsyncSyncService(memories).check_consistency(depth, user_id=ALICE, ids=[ID])
    assert pair.graph.calls[call] > 0
    assert (report.counts, report.complete) == ({}, True)


async def test_a_memory_stored_behind_a_rebuild_is_no_orphan(pair: Pair) -> None:
    """What was stored behind the cursor carries no stamp, and stays. Guard: truth is asked before the sweep."""
    pair.graph.before["unstamped"] = once(_by_another(pair, **draft(0)))
    async with pair.service(hooked=True) as memories:
        sync = AsyncSyncService(memories)
        report = await sync.rebuild_graph(user_id=ALICE)
        assert (report.complete, report.removed, report.notes) == (True, 0, ())
        assert (await sync.check_consistency(Depth.FULL)).in_step


async def test_an_orphan_that_lives_again_is_not_deleted(pair: Pair) -> None:
    """An orphan stored anew between its finding and its deletion stays. Guard: a look at truth when it is deleted."""
    await pair.storage.commit(lambda tx: tx.remove(Table.MEMORIES, KEY), 1)
    pair.moment += HOUR
    pair.truth.before["enlist"] = once(_by_another(pair, **draft(1, content="again")))
    async with pair.service(hooked=True) as memories:
        sync = AsyncSyncService(memories)
        found = await sync.repair_inconsistencies(dry_run=False, user_id=ALICE, force=True)
        assert [one.memory_id for one in found.check.inconsistencies] == [ID]
        assert (await sync.check_consistency(Depth.FULL)).in_step
    assert (await pair.inner.read([KEY]))[KEY].live


async def test_what_a_repair_writes_is_listed(pair: Pair) -> None:
    """At the moment when a repair writes into the graph, what it writes is in the outbox. Guard: it goes through it."""
    listed: list[bool] = []

    async def look() -> None:
        listed.append(KEY in await MemoryStore.pending(pair.truth.inner, [KEY]))

    async with pair.service(hooked=True) as memories:
        await pair.inner.clear(ALICE, limit=9, timeout=60)
        pair.graph.before["apply"] = once(look)
        report = await AsyncSyncService(memories).repair_inconsistencies(dry_run=False, user_id=ALICE)
    assert (listed, report.repaired) == ([True], 1)


async def test_a_run_keeps_its_lease_while_a_step_takes_long(pair: Pair) -> None:
    """A step that takes longer than the lease does not cost the run its lease. Guard: it is renewed meanwhile."""
    renewed = asyncio.Event()
    pair.truth.after["renew_run"] = lambda _: renewed.set()

    async def wait() -> None:
        async with asyncio.timeout(10):
            await renewed.wait()

    pair.graph.before["unstamped"] = once(wait)
    async with pair.service(hooked=True, run_lease=0.3) as memories:
        assert (await AsyncSyncService(memories).rebuild_graph(user_id=ALICE)).complete
    assert renewed.is_set()


async def test_a_run_that_was_taken_over_stops(pair: Pair) -> None:
    """A process that slept over its lease finds its run another's, and changes nothing. Guard: the run's token."""
    async with pair.service(hooked=True) as memories, pair.service() as other:
        sync = AsyncSyncService(memories)

        async def taken_over() -> None:
            pair.moment += HOUR
            (run,) = await other.parts.truth.store.runs(RunQuery(RunKind.REBUILD))
            assert (await AsyncSyncService(other).resume_run(run.id)).complete

        pair.graph.before["unstamped"] = once(taken_over)
        with pytest.raises(LeaseLostError):
            await sync.rebuild_graph(user_id=ALICE)
        (run,) = await sync.list_runs()
        assert run.state is RunState.DONE


async def test_a_failed_entry_waits_longer_each_time(pair: Pair) -> None:
    """What the graph refuses is tried again after a time that doubles. Guard: the back-off of an entry."""
    pair.graph.before["apply"] = failing(GraphStoreError("No."))
    waits: list[float] = []
    async with pair.service(hooked=True, relay_backoff=1.0, relay_backoff_max=100.0, relay_attempts=9) as memories:
        await memories.store(**draft(2), timeout=1.0)
        for _ in range(5):
            pair.moment += HOUR
            assert await memories.parts.relay.work() == 1
            waits.append(await memories.parts.truth.store.next_due() or 0.0)
    assert all(2.0**n * 0.5 <= wait <= 2.0**n * 1.5 for n, wait in enumerate(waits)), waits


async def test_a_graph_that_is_away_is_not_hammered(pair: Pair) -> None:
    """Once the graph is known to be away, writes answer `pending` without asking it. Guard: the breaker."""
    pair.graph.before["apply"] = failing(GraphUnavailableError("Gone."))
    settings = {"breaker_failures": 3, "breaker_probe": 60.0, "retry_attempts": 1}
    async with pair.service(hooked=True, **settings) as memories:
        results = [await memories.store(**draft(number)) for number in range(10)]
    assert {result.outcome for result in results} == {Outcome.PENDING}
    assert pair.graph.calls["apply"] == 3


async def test_a_planned_repair_changes_nothing(pair: Pair) -> None:
    """A repair that was not told to apply itself writes into neither store. Guard: `dry_run`, for orphans as well."""
    async with pair.service(hooked=True) as memories:
        await memories.store(**draft(2))
        await pair.storage.commit(lambda tx: tx.remove(Table.MEMORIES, KEY), 1)
        pair.inner._tenants[ALICE].place("m0002", None)
        pair.graph.calls.clear()
        pair.truth.calls.clear()
        plan = await AsyncSyncService(memories).repair_inconsistencies(user_id=ALICE)
        assert (plan.planned, plan.repaired) == (2, 0)
    assert pair.graph.calls["apply"] == pair.truth.calls["enlist"] == 0


async def test_a_rebuild_goes_on_where_it_was_stopped(pair: Pair) -> None:
    """A rebuild taken up again writes the page it was stopped at, and none before. Guard: its cursor."""
    settings = {"sync_batch": 2, "retry_attempts": 1, "breaker_failures": 9}
    async with pair.service(hooked=True, **settings) as memories:
        await memories.store_many([draft(number) for number in range(6)])
        while await pair.inner.clear(ALICE, limit=99, timeout=60):
            pass
        pair.graph.calls.clear()
        pair.graph.before["apply"] = failing(GraphUnavailableError("Gone."), first=2, times=1)
        sync = AsyncSyncService(memories)
        stopped = await sync.rebuild_graph(user_id=ALICE)
        assert not stopped.complete
        done = await sync.resume_run(stopped.run_id)
        assert (done.complete, done.memories) == (True, 6)
        assert (await sync.check_consistency(Depth.FULL)).in_step


class _Slow(SharedGraph):
    """A graph that has just been started: what is too large for it does not end in time."""

    most = 5

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        self.sizes.append(len(writes))
        if len(writes) > self.most:
            raise GraphUnavailableError
        return await super().apply(writes, timeout=timeout)


async def test_what_is_too_large_for_a_slow_graph_is_sent_in_parts() -> None:
    """After a batch that did not end in time the relay sends half as much, and more again once it comes through."""
    pair, slow = Pair(), _Slow()
    pair.graph = Hooked(slow)
    settings = {"breaker_failures": 100, "retry_attempts": 1, "relay_backoff": 0.01, "relay_batch": 32}
    async with pair.service(hooked=True, **settings) as memories:
        await memories.store_many([draft(number) for number in range(40)])
        slow.sizes.clear()
        relay = memories.parts.relay
        for _ in range(30):
            pair.moment += HOUR  # so that all that was put back is due
            await relay.work()
        report = await relay.report()
    assert (report.pending, report.dead) == (0, 0)
    assert slow.sizes[:4] == [32, 16, 8, 4]
    assert max(slow.sizes[4:]) > slow.most


async def test_what_is_stored_while_its_tenant_is_erased_stays(pair: Pair) -> None:
    """A memory stored behind the deletes of an erasure, and settled, is in the graph at its end; an orphan is not."""
    await pair.storage.commit(lambda tx: tx.remove(Table.MEMORIES, KEY), 1)
    pair.moment += HOUR
    async with pair.service(hooked=True) as memories:
        await memories.store(**draft(2))
        pair.truth.before["begin_run"] = once(_by_another(pair, **draft(7)))
        report = await erase(memories, ALICE)
        assert (report.deleted, report.pending, report.graph_unreached) == (1, 0, False)
        assert (await AsyncSyncService(memories).check_consistency(Depth.FULL)).in_step
    there = await pair.inner.read([Key(ALICE, f"m000{number}") for number in (1, 2, 7)])
    assert [key.id for key, memory in there.items() if memory.live] == ["m0007"]


async def test_a_relay_that_is_stopped_gives_its_claims_back(pair: Pair) -> None:
    """What a relay had claimed when it was cancelled is due at once, and that attempt does not count."""
    arrived = asyncio.Event()

    async def hold(_: int) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async def stopped(work: Coroutine[Any, Any, Any]) -> None:
        arrived.clear()
        task = asyncio.create_task(work)
        await arrived.wait()
        task.cancel()
        await asyncio.wait({task})

    pair.graph.before["apply"] = hold
    async with pair.service(hooked=True) as memories:
        await stopped(memories.store(**draft(1, metadata={"n": 2})))
    async with pair.service(hooked=True) as memories:
        await stopped(memories.drain())
    async with pair.service() as memories:
        store = memories.parts.truth.store
        assert await store.next_due() == 0
        (entry,) = await store.claim(limit=9, lease=0)
        assert entry.attempts == 1
        assert (await memories.drain()).pending == 0


async def test_a_rebuild_that_ended_at_this_very_moment_is_over(pair: Pair) -> None:
    """A check that begins in the microsecond in which a rebuild ended says what it finds: nothing is under way."""
    async with pair.service() as memories:
        sync = AsyncSyncService(memories)
        assert (await sync.rebuild_graph(user_id=ALICE, clear_existing=True)).complete
        await pair.storage.commit(lambda tx: tx.remove(Table.MEMORIES, KEY), 1)
        report = await sync.check_consistency(Depth.FULL)
    assert (report.complete, dict(report.counts)) == (True, {Kind.ORPHAN: 1})


async def test_a_delete_that_was_done_and_replaced_is_not_refused(pair: Pair) -> None:
    """A delete whose acknowledgement was lost, and that another write replaced before it was sent again, is unknown.

    That the memory is at another version than expected would say that it did not happen.
    """
    pair.truth.after["delete_many"] = failing(OutcomeUnknownError("The connection was lost."), times=1)
    pair.truth.after["resolve"] = once(_by_another(pair, **draft(1, content="again")))
    async with pair.service(hooked=True) as memories:
        version = (await memories.get(ID, user_id=ALICE)).version
        with pytest.raises(OutcomeUnknownError, match="replaced"):
            await memories.delete(ID, user_id=ALICE, expected_version=version)
        assert (await memories.get(ID, user_id=ALICE)).content == "again"
