"""Servers that stop, start and freeze in the middle of writing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from persistence import (
    AsyncPersistenceService,
    DeadlineExceededError,
    HealthStatus,
    Outcome,
    OutcomeUnknownError,
    PersistenceError,
    PersistenceResult,
    VectorStoreError,
)
from tests.faults.stores import ALICE, Stores, draft, until

# The driver of Neo4j leaves a socket to the garbage collector when connecting is cancelled (its clean-up is for
# exceptions, and a cancellation is none of them); Python closes it then, and says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(socket|_SelectorSocketTransport|StreamWriter|function):"
    "pytest.PytestUnraisableExceptionWarning"
)

#: What a call may take beyond its deadline on a machine that is busy.
SLACK = 0.75


async def _timed_store(
    memories: AsyncPersistenceService, number: int, timeout: float | None = None
) -> tuple[PersistenceResult, float]:
    started = time.monotonic()
    result = await memories.store(**draft(number), timeout=timeout)
    return result, time.monotonic() - started


async def test_a_frozen_graph_costs_no_one_more_than_the_deadline(own: Stores, neo4j_server: Any) -> None:
    """Neo4j frozen by SIGSTOP: writes answer `pending` in time, then at once; thawed, all comes in step unasked."""
    async with own.service(enable_relay=True, write_timeout=1.0) as memories:
        assert (await memories.store(**draft(0))).outcome is Outcome.IN_STEP
        with neo4j_server.frozen():
            first = await asyncio.gather(*(_timed_store(memories, number) for number in range(1, 9)))
            later = [await _timed_store(memories, number) for number in range(9, 20)]
            outcomes = {result.outcome for result, _ in (*first, *later)}
            assert outcomes == {Outcome.PENDING}
            assert max(seconds for _, seconds in first) < 1.0 + SLACK
            assert max(seconds for _, seconds in later) < SLACK
            many = await memories.store_many([draft(number) for number in range(20, 60)])
            assert {result.outcome for result in many} == {Outcome.PENDING}
            health = await memories.get_health()
            assert (health.status, health.breaker) == (HealthStatus.DEGRADED, "open")
            assert (await memories.search(draft(3)["embedding"], user_id=ALICE, expand=1)).degraded
        await until(own.in_step, what="the relay brings everything in step")


async def test_the_default_deadline_holds_with_a_frozen_graph(own: Stores, neo4j_server: Any) -> None:
    """With default settings a store answers `pending` within 5 s of a Neo4j that is frozen, and the next at once."""
    defaults = {"retry_delay": 0.05, "breaker_probe": 1.0, "settle_delay": 0.05}
    async with own.service(enable_relay=True, **defaults) as memories:
        await memories.store(**draft(0))
        with neo4j_server.frozen():
            result, seconds = await _timed_store(memories, 1)
            assert result.outcome is Outcome.PENDING
            assert seconds < 5.0 + 0.25
            result, seconds = await _timed_store(memories, 2)
            assert result.outcome is Outcome.PENDING
            assert seconds < SLACK
        await until(own.in_step, what="the relay brings everything in step")


async def test_a_service_opened_on_a_frozen_graph(own: Stores, neo4j_server: Any) -> None:
    """A service that finds its graph frozen opens all the same, answers health in time, and catches up unasked."""
    async with own.service() as memories:
        await memories.store(**draft(0))
    with neo4j_server.frozen():
        opening = own.service(enable_relay=True, write_timeout=1.0, connect_timeout=1.0)
        async with opening as memories:
            result, seconds = await _timed_store(memories, 1)
            assert result.outcome is Outcome.PENDING
            assert seconds < SLACK
            started = time.monotonic()
            assert (await memories.get_health()).graph.status is HealthStatus.UNHEALTHY
            assert time.monotonic() - started < 5.0
            neo4j_server.thaw()
            await until(own.in_step, what="the relay brings everything in step")


@pytest.mark.faults
async def test_neo4j_stopped_and_started_in_the_middle_of_writing(own: Stores, neo4j_server: Any) -> None:
    """Writes go on while Neo4j is down, none raises, no entry dies of it, and everything comes in step unasked."""
    async with own.service(enable_relay=True, relay_attempts=2) as memories:
        outcomes: set[Outcome] = set()
        enough = asyncio.Event()

        async def write(first: int) -> None:
            number = first
            while not enough.is_set():
                outcomes.add((await memories.store(**draft(number % 300))).outcome)
                if number % 7 == 0:
                    await memories.delete(draft((number - 8) % 300)["id"], user_id=ALICE)
                number += 4
                await asyncio.sleep(0.01)  # a steady stream, not a load

        async with asyncio.TaskGroup() as group:
            for first in range(4):
                group.create_task(write(first))
            await until(lambda: _is_in(Outcome.IN_STEP, outcomes), what="a first write in step")
            await neo4j_server.stop()
            await until(lambda: _is_in(Outcome.PENDING, outcomes), what="a write during the outage")
            await neo4j_server.start()
            outcomes.clear()
            await until(lambda: _is_in(Outcome.IN_STEP, outcomes), seconds=60, what="a write in step after the outage")
            enough.set()
        await until(own.in_step, seconds=60, what="the relay brings everything in step")


async def _is_in(outcome: Outcome, outcomes: set[Outcome]) -> bool:
    return outcome in outcomes


async def test_postgres_killed_in_the_middle_of_writing(own: Stores, postgres_server: Any) -> None:
    """While Postgres is down every call ends with a typed error, in time; what it acknowledged is there afterwards."""
    acknowledged: dict[str, int] = {}
    failed: list[Exception] = []
    async with own.service(enable_relay=True, write_timeout=1.0, connect_timeout=1.0) as memories:
        enough = asyncio.Event()

        async def write(first: int) -> None:
            number = first
            while not enough.is_set():
                started = time.monotonic()
                try:
                    result = await memories.store(**draft(number))
                except PersistenceError as error:
                    failed.append(error)
                else:
                    acknowledged[result.id] = result.version or 0
                assert time.monotonic() - started < 1.0 + SLACK
                number += 4
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            for first in range(4):
                group.create_task(write(first))
            await until(lambda: _longer_than(acknowledged, 20), what="writes before the crash")
            await postgres_server.kill()
            await until(lambda: _longer_than(failed, 8), what="calls that fail")
            await postgres_server.start()
            so_far = len(acknowledged)
            await until(lambda: _longer_than(acknowledged, so_far + 20), seconds=60, what="writes after the crash")
            enough.set()
        allowed = (VectorStoreError, OutcomeUnknownError, DeadlineExceededError)
        assert [error for error in failed if not isinstance(error, allowed)] == []
        await own.end_leases()
        await until(own.in_step, what="the relay brings everything in step")
    there = {key.id: version for key, (version, _, _) in (await own.truth()).items()}
    assert acknowledged.items() <= there.items()


async def test_postgres_stopped_in_the_middle_of_store_many(own: Stores, postgres_server: Any) -> None:
    """A bulk call that loses truth says what was acknowledged, which is there; no batch is half there."""
    batches: list[int] = []
    async with own.service(batch_size=50) as memories:
        reached = asyncio.Event()

        def note(progress: Any) -> None:
            batches.append(progress.done)
            if progress.done >= 500:
                reached.set()

        drafts = [draft(number) for number in range(6_000)]
        storing = asyncio.create_task(memories.store_many(drafts, progress=note, timeout=5.0))
        await reached.wait()
        await postgres_server.stop()
        with pytest.raises(PersistenceError) as caught:
            await storing
        await postgres_server.start()
        results = getattr(caught.value, "results", {})
        there = {key.id for key in await own.truth()}
        assert {result.id for result in results.values()} <= there
        assert len(there) % 50 == 0
        assert len(there) - len(results) in (0, 50)
        assert await own.unseen() == []
        await own.end_leases()
        await memories.drain()
    await own.assert_in_step()


async def _longer_than(things: Any, length: int) -> bool:
    return len(things) > length
