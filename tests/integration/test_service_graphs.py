"""Which graph a truth has: none, one given later, another one, one in memory, one ahead of it."""

from __future__ import annotations

import asyncio

import pytest

from persistence import (
    AsyncPersistenceService,
    GraphIdentityError,
    GraphStoreError,
    GraphUnavailableError,
    Outcome,
    StorageStatus,
)
from persistence.graph.memory import MemoryGraph
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, Stores, draft, until, vector


async def test_no_graph_is_disabled_and_nothing_else(stores: Stores) -> None:
    """Without a graph every result says `disabled`, nothing piles up, and what needs one raises."""
    async with stores.service(graph_url="none://") as memories:
        result = await memories.store(**draft(1))
        assert (result.outcome, result.graph) == (Outcome.IN_STEP, StorageStatus.DISABLED)
        many = await memories.store_many([draft(number) for number in range(5)])
        assert {(r.outcome, r.graph) for r in many} == {(Outcome.IN_STEP, StorageStatus.DISABLED)}
        assert (await memories.delete("m0001", user_id=ALICE)).graph is StorageStatus.DISABLED
        assert await stores.outbox() == []
        found = await memories.search(vector(2), user_id=ALICE, limit=1, expand=1)
        assert len(found) == 1
        assert found.degraded
        for call in (memories.related("m0002", user_id=ALICE), memories.drain()):
            with pytest.raises(GraphStoreError):
                await call


async def test_a_graph_given_later_gets_everything(stores: Stores) -> None:
    """The first graph of a truth finds every memory and tombstone in the outbox, and the relay brings it up."""
    async with stores.service(graph_url="none://") as memories:
        await memories.store_many([draft(number) for number in range(20)])
        await memories.delete("m0003", user_id=ALICE)
    async with stores.service() as memories:
        assert len(await stores.outbox()) == 20
        assert (await memories.drain()).applied == 20
    await stores.assert_in_step()


async def test_a_process_without_a_graph_owes_what_it_writes(stores: Stores) -> None:
    """Where the truth has a graph, writes of a process without one are pending, listed, and brought up by another."""
    async with stores.service() as memories, stores.service(graph_url="none://") as blind:
        await memories.store(**draft(1))
        result = await blind.store(**draft(1, content="unseen"))
        assert (result.outcome, result.graph) == (Outcome.PENDING, StorageStatus.DISABLED)
        assert [entry["disabled"] for entry in await stores.outbox()] == [True]
        await stores.end_leases()
        await memories.drain()
    await stores.assert_in_step()


async def test_a_second_graph_is_refused(stores: Stores) -> None:
    """Another graph than the registered one is refused until it is adopted; then everything is brought up there."""
    async with stores.service() as memories:
        await memories.store_many([draft(number) for number in range(5)])
    await stores.rows("UPDATE store_info SET graph_id = gen_random_uuid(), graph_database_id = 'another'")
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    with pytest.raises(GraphIdentityError):
        async with stores.service():
            pass
    adopted = AsyncPersistenceService.connect(config=stores.config())
    await adopted.open(adopt_graph=True)
    assert (await adopted.drain()).applied == 5
    await adopted.close()
    async with stores.service() as memories:
        assert (await memories.store(**draft(9))).outcome is Outcome.IN_STEP
        await memories.drain()
    await stores.assert_in_step()


async def test_a_graph_of_another_truth_is_refused(stores: Stores) -> None:
    """A graph that belongs to one truth is refused to a second one."""
    async with stores.service() as memories:
        await memories.store(**draft(1))
    with pytest.raises(GraphIdentityError):
        async with stores.service(schema_name=f"{stores.schema}_b"):
            pass
    await stores.rows(f"DROP SCHEMA {stores.schema}_b CASCADE")
    await stores.assert_in_step()


async def test_two_services_with_graphs_in_memory(stores: Stores) -> None:
    """Each process's own graph follows truth: what one writes or deletes the other reaches, at once."""
    async with stores.service(graph=MemoryGraph()) as one, stores.service(graph=MemoryGraph()) as two:
        assert (await one.store(**draft(0))).outcome is Outcome.IN_STEP
        await one.store_many([draft(3), draft(6)])
        assert {hit.memory.id for hit in await two.related("m0000", user_id=ALICE)} == {"m0003", "m0006"}
        await two.delete("m0003", user_id=ALICE)
        await two.store(**draft(9))
        assert {hit.memory.id for hit in await one.related("m0000", user_id=ALICE)} == {"m0006", "m0009"}
        moved = draft(7)
        await one.update(
            "m0006", user_id=ALICE, entities=moved["entities"], relationships=moved["relationships"], content="moved"
        )
        assert {hit.memory.id for hit in await two.related("m0000", user_id=ALICE)} == {"m0009"}
        await one.wait_until_in_step("m0009", user_id=ALICE)
        assert await stores.outbox() == []


async def test_a_graph_in_memory_settles_nothing_for_others(stores: Stores) -> None:
    """Beside a truth whose graph is elsewhere, a graph in memory leaves the outbox to that graph's relay."""
    async with stores.service() as memories:
        await memories.store(**draft(0))
        await memories.drain()
        async with stores.service(graph=MemoryGraph(), enable_relay=True) as local:
            await local.store(**draft(3))
            await stores.end_leases()
            report = await local.drain()
            assert (report.applied, report.pending) == (0, 1)
            assert {hit.memory.id for hit in await local.related("m0000", user_id=ALICE)} == {"m0003"}
            assert len(await stores.outbox()) == 1
        await memories.drain()
    await stores.assert_in_step()


@pytest.mark.parametrize("action", ["store", "delete", "store_many"])
async def test_a_graph_ahead_of_truth(stores: Stores, action: str) -> None:
    """Where the graph has a newer version than truth (a backup was restored), truth is written anew above it."""
    ahead = 2**52
    async with stores.service() as memories:
        await memories.store(**draft(1))
        await memories.drain()
        await stores.cypher("MATCH (m:DiptychMemory) SET m.version = $ahead", ahead=ahead)
        if action == "store":
            result = await memories.store(**draft(1, content="new"))
        elif action == "delete":
            result = await memories.delete("m0001", user_id=ALICE)
        else:
            (result,) = await memories.store_many([draft(1, content="new")])
        if action != "store_many":
            assert result.outcome is Outcome.IN_STEP
            assert result.version is not None
            assert result.version > ahead
        await memories.drain()
        ((version, _, fragment),) = (await stores.truth()).values()
        assert version > ahead
        assert (fragment is None) is (action == "delete")
    await stores.assert_in_step()


async def test_a_graph_ahead_of_a_tombstone(stores: Stores) -> None:
    """A memory deleted in truth that the graph shows at a newer version is deleted there too, above it."""
    ahead = 2**52
    async with stores.service() as memories:
        await memories.store(**draft(1))
        await memories.delete("m0001", user_id=ALICE)
        await memories.drain()
        await stores.cypher("MATCH (m:DiptychMemory) SET m.version = $ahead, m:Memory", ahead=ahead)
        await stores.rows("""
            INSERT INTO outbox (user_id, id, entry_id, version, due_at)
            SELECT user_id, id, gen_random_uuid(), version, clock_timestamp() FROM tombstones
        """)
        await memories.drain()
        ((version, _, fragment),) = (await stores.truth()).values()
        assert version > ahead
        assert fragment is None
    await stores.assert_in_step()


async def test_a_graph_that_was_away_at_the_start(stores: Stores) -> None:
    """A service without its graph opens, keeps writes for the relay, and uses the graph once it is there."""
    graph = Hooked(stores.graph())
    graph.before["open"] = failing(GraphUnavailableError("Away."), times=5)
    async with stores.service(graph=graph, enable_relay=True) as memories:
        results = await asyncio.gather(*(memories.store(**draft(number)) for number in range(8)))
        assert {result.outcome for result in results} == {Outcome.PENDING}
        await until(stores.in_step, what="the relay opens the graph and brings it up")
    graph.calls.clear()
    with pytest.raises(GraphUnavailableError):
        async with stores.service(graph=graph, graph_required=True):
            pass


async def test_a_probe_needs_no_relay(stores: Stores) -> None:
    """A service without a relay of its own uses its graph again after an outage, though nobody asked it to."""
    graph = Hooked(stores.graph())
    graph.before["apply"] = failing(GraphUnavailableError(), times=3)
    async with stores.service(graph=graph, retry_attempts=3, breaker_probe=0.05) as memories:
        assert (await memories.store(**draft(0))).outcome is Outcome.PENDING

        async def in_step_again() -> bool:
            return (await memories.store(**draft(1))).outcome is Outcome.IN_STEP

        await until(in_step_again, what="the breaker closes")
        await memories.drain()
    await stores.assert_in_step()
