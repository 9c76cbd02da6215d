"""Cancellation at every await: what was acknowledged is said, nothing is in doubt unseen, nothing leaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import pytest

from persistence import AsyncPersistenceService, BulkCancelledError, Outcome, Progress
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, Stores, draft, until

# The driver of Neo4j leaves a socket to the garbage collector when connecting is cancelled (its clean-up is for
# exceptions, and a cancellation is none of them); Python closes it then, and says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(socket|_SelectorSocketTransport|StreamWriter|function):"
    "pytest.PytestUnraisableExceptionWarning"
)

SEED = 20_240_611
T = TypeVar("T")


class CancelledAt(Generic[T]):
    """Awaits a call and cancels the task at the call's n-th suspension; ``reached`` says whether there was one."""

    def __init__(self, call: Coroutine[Any, Any, T], at: int) -> None:
        self._call = call
        self._at = at
        self.reached = False

    def __await__(self) -> Generator[Any, Any, T]:
        steps, number = self._call.__await__(), 0
        step: Callable[[], Any] = lambda: steps.send(None)  # noqa: E731  # replaced by a throw below
        while True:
            try:
                waited = step()
            except StopIteration as end:
                result: T = end.value
                return result
            if number == self._at:
                self.reached = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            number += 1
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001  # handed into the call, which decides
                step = _throwing(steps, error)
            else:
                step = _sending(steps)


def _throwing(steps: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)


def _sending(steps: Any) -> Callable[[], Any]:
    return lambda: steps.send(None)


async def _at_each_suspension(call: Callable[[int], Coroutine[Any, Any, Any]]) -> int:
    """Run the call again and again, cancelled one suspension later each time; return how many there were."""
    for at in range(1_000):
        wrapped = CancelledAt(call(at), at)
        task = asyncio.ensure_future(_awaited(wrapped))
        await asyncio.wait({task})
        if not wrapped.reached:
            task.result()
            return at
        assert task.cancelled(), f"the cancellation at suspension {at} was swallowed"
    raise AssertionError("the call never ended")


async def _awaited(call: Awaitable[T]) -> T:
    return await call


async def test_store_and_delete_cancelled_at_every_suspension(stores: Stores) -> None:
    """Cancelled anywhere, store, update and delete raise CancelledError, and leave nothing that is not listed."""
    async with stores.service(pool_size=2, write_timeout=60) as memories:
        await memories.store_many([draft(number) for number in range(100, 140)])

        def update(at: int) -> Coroutine[Any, Any, Any]:
            return memories.update(f"m{100 + at:04}", user_id=ALICE, content="changed")

        assert await _at_each_suspension(lambda at: memories.store(**draft(at))) > 0
        assert await _at_each_suspension(update) > 0
        assert await _at_each_suspension(lambda at: memories.delete(f"m{120 + at:04}", user_id=ALICE)) > 0
        await _settles(stores, memories)


async def test_store_cancelled_at_any_moment(stores: Stores) -> None:
    """Cancelled after any time, with the drivers in the middle of their work, a store leaves nothing unlisted."""
    rng = random.Random(SEED)
    cancelled = 0
    async with stores.service(pool_size=2, write_timeout=60) as memories:
        for number in range(120):
            task = asyncio.create_task(memories.store(**draft(number)))
            await asyncio.wait({task}, timeout=rng.uniform(0.0, 0.012))
            task.cancel()
            await asyncio.wait({task})
            cancelled += task.cancelled()
        assert cancelled > 10, f"seed {SEED}"
        await _settles(stores, memories)


async def test_a_cancelled_store_gives_its_lease_up(stores: Stores) -> None:
    """Whether it was cancelled in truth or in the graph, the relay may take the entry at once, not after the lease."""
    for moment in ("truth", "graph"):
        adapters = {"vector": Hooked(stores.vector()), "graph": Hooked(stores.graph())}
        arrived = asyncio.Event()

        async def hold(_: int, arrived: asyncio.Event = arrived) -> None:
            arrived.set()
            await asyncio.Event().wait()

        hooks = adapters["vector"].after if moment == "truth" else adapters["graph"].before
        hooks["write" if moment == "truth" else "apply"] = hold
        async with stores.service(vector=adapters["vector"], graph=adapters["graph"], write_timeout=60) as memories:
            task = asyncio.create_task(memories.store(**draft(1, content=moment)))
            await arrived.wait()
            assert not any(entry["due"] for entry in await stores.outbox())
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            hooks.clear()
            await until(lambda: _all_due(stores), what="the entry is due, long before its lease ends")
            await memories.drain()
        await stores.assert_in_step()


async def test_store_many_cancelled_at_every_suspension(stores: Stores) -> None:
    """Cancelled anywhere, store_many says exactly what truth has; the rest is not there, and nothing is half there."""
    async with stores.service(pool_size=2, batch_size=4) as memories:

        async def call(at: int) -> None:
            user_id = f"tenant {at}"
            drafts = [draft(number, user_id=user_id) for number in range(14)]
            try:
                await memories.store_many(drafts)
            except BulkCancelledError as cancelled:
                await _acknowledged(stores, user_id, cancelled)
                raise

        assert await _at_each_suspension(call) > 4
        await _settles(stores, memories)


async def _acknowledged(stores: Stores, user_id: str, cancelled: BulkCancelledError) -> None:
    found = {key.id: version for key, (version, _, _) in (await stores.truth()).items() if key.user_id == user_id}
    assert found == {result.id: result.version for result in cancelled.results.values()}


async def test_store_many_cancelled_while_the_graph_is_at_it(stores: Stores) -> None:
    """Cancelled with the graph a batch behind, the awaiter gets what was acknowledged, leases are given up."""
    graph = Hooked(stores.graph())
    arrived = asyncio.Event()

    async def hold(_: int) -> None:
        arrived.set()
        await asyncio.Event().wait()

    graph.before["apply"] = hold
    acknowledged: list[int] = []
    async with stores.service(graph=graph, batch_size=10) as memories:
        drafts = [draft(number) for number in range(50)]

        def note(progress: Progress) -> None:
            acknowledged.append(progress.done)

        task = asyncio.create_task(memories.store_many(drafts, progress=note))
        await arrived.wait()
        await until(lambda: _reached(acknowledged, 20), what="truth is a batch ahead")
        task.cancel()
        with pytest.raises(BulkCancelledError) as caught:
            await task
        assert sorted(caught.value.results) == list(range(20))
        assert {result.outcome for result in caught.value.results.values()} == {Outcome.PENDING}
        graph.before.clear()
        await until(lambda: _all_due(stores), what="all entries are due, long before their lease ends")
        report = await memories.drain()
        assert (report.applied, report.pending) == (20, 0)
    await stores.assert_in_step()


async def test_a_service_cancelled_as_a_whole_closes(stores: Stores) -> None:
    """A task that is cancelled inside `async with` closes both stores; another service brings in step what it left."""
    ready = asyncio.Event()

    async def work() -> None:
        async with stores.service(enable_relay=True) as memories:
            await memories.store(**draft(1))
            ready.set()
            await memories.store_many([draft(number) for number in range(2_000)])

    task = asyncio.create_task(work())
    await ready.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await stores.unseen() == []
    await _no_more_than(stores, 0)
    async with stores.service() as memories:
        await stores.end_leases()
        await memories.drain()
    await stores.assert_in_step()


async def _settles(stores: Stores, memories: AsyncPersistenceService) -> None:
    """See that what is left is listed and due, that no connection leaked, and that it comes in step."""
    await _no_more_than(stores, 2)
    await until(lambda: _all_due(stores), what="all leases are given up, long before they end")
    assert await stores.unseen() == []
    await asyncio.gather(*(memories.store(**draft(900 + number)) for number in range(6)))
    await memories.drain()
    await stores.assert_in_step()


async def _all_due(stores: Stores) -> bool:
    return all(entry["due"] for entry in await stores.outbox())


async def _reached(done: list[int], number: int) -> bool:
    return bool(done) and done[-1] >= number


async def _no_more_than(stores: Stores, most: int) -> None:
    """See that at most so many connections of ours stay, none of them in a transaction."""

    async def so_many() -> bool:
        rows = await _connections(stores)
        return len(rows) <= most and all(row["state"] == "idle" for row in rows)

    try:
        await until(so_many, what="no connection is busy or leaked")
    except AssertionError as error:
        raise AssertionError(await _connections(stores)) from error


async def _connections(stores: Stores) -> list[dict[str, Any]]:
    return await stores.rows("""
        SELECT pid, state, wait_event_type, wait_event, query, clock_timestamp() - state_change AS since
        FROM pg_stat_activity
        WHERE application_name = 'diptych' AND datname = current_database()
    """)
