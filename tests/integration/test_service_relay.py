"""The relay: poison, outages, dead entries, several relays, and the tombstones it collects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persistence import (
    AsyncPersistenceService,
    GraphStoreError,
    GraphUnavailableError,
    Key,
    Outcome,
    VectorStoreUnavailableError,
)
from tests.faults.proxies import Hook, Hooked, failing
from tests.faults.stores import ALICE, Stores, draft, until

POISON = Key(ALICE, "m0003")


def _poisoned(graph: Hooked) -> Hook:
    """Refuse every batch that the poison is in."""

    def refuse(_: int) -> None:
        if any(write.id == POISON.id for write in graph.given["apply"][-1]):
            raise GraphStoreError("The graph cannot hold this.")

    return refuse


async def _owe(memories: AsyncPersistenceService, graph: Hooked, numbers: range) -> None:
    """Leave these memories to the relay."""
    graph.before["apply"] = failing(GraphStoreError("Later."))
    await memories.store_many([draft(number) for number in numbers])
    await until(_released(memories), what="the leases are given up")


def _released(memories: AsyncPersistenceService) -> Any:
    async def released() -> bool:
        wait = await memories._parts.truth.store.next_due()
        return wait is not None and wait <= 0

    return released


async def test_poison_stands_alone_and_dies(stores: Stores) -> None:
    """One memory that the graph refuses holds up no other; after its attempts it is dead, listed, with its reason."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=3) as memories:
        await _owe(memories, graph, range(16))
        graph.before["apply"] = _poisoned(graph)
        report = await memories.drain()
        assert (report.applied, report.dead, report.pending) == (15, 1, 0)
        (dead,) = await memories.dead_letters()
        assert (dead.key, dead.attempts, dead.reason) == (POISON, 3, "The graph cannot hold this.")
        assert await memories.dead_letters(user_id="bob") == []
        assert await memories.dead_letters(after=POISON) == []
        with pytest.raises(GraphStoreError, match="dead"):
            await memories.wait_until_in_step(POISON.id, user_id=ALICE)
        assert len(await stores.differences()) == 1


async def test_poison_takes_nobody_with_it(stores: Stores) -> None:
    """Of a batch with a memory that the graph refuses every other one is brought up at the first attempt."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=1) as memories:
        await _owe(memories, graph, range(16))
        graph.before["apply"] = _poisoned(graph)
        report = await memories.drain()
        assert (report.applied, report.dead, report.pending) == (15, 1, 0)
        assert [dead.key for dead in await memories.dead_letters()] == [POISON]


async def test_a_dead_entry_is_retried_by_hand(stores: Stores) -> None:
    """A dead entry that is retried starts anew, and is in step once the graph takes it."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=1) as memories:
        await _owe(memories, graph, range(2, 5))
        graph.before["apply"] = _poisoned(graph)
        assert (await memories.drain()).dead == 1
        assert await memories.retry_dead([Key(ALICE, "m0002")]) == 0
        assert await memories.retry_dead([POISON]) == 1
        assert (await memories.drain()).dead == 1
        graph.before.clear()
        assert await memories.retry_dead(None) == 1
        assert (await memories.drain()).dead == 0
    await stores.assert_in_step()


async def test_a_new_write_revives_a_dead_entry(stores: Stores) -> None:
    """Writing the memory anew makes its entry pending again."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=1) as memories:
        await _owe(memories, graph, range(3, 4))
        await memories.drain()
        assert len(await memories.dead_letters()) == 1
        graph.before["apply"] = failing(GraphUnavailableError())
        assert (await memories.store(**draft(3, content="mended"))).outcome is Outcome.PENDING
        assert await memories.dead_letters() == []
        graph.before.clear()
        memories._parts.graph.breaker.succeeded()
        await until(_released(memories), what="the lease is given up")
        assert (await memories.drain()).pending == 0
    await stores.assert_in_step()


async def test_a_discarded_entry_is_an_open_inconsistency(stores: Stores) -> None:
    """Discarding a dead entry does not forget that the memory is behind: it is listed as an open inconsistency."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=1) as memories:
        await _owe(memories, graph, range(3, 4))
        assert not await memories.discard_dead(POISON)
        await memories.drain()
        assert await memories.discard_dead(POISON)
        assert not await memories.discard_dead(POISON)
        assert await stores.outbox() == []
        (open_one,) = await stores.rows("SELECT * FROM inconsistencies WHERE resolved_at IS NULL")
        truth = await stores.truth()
        assert (open_one["user_id"], open_one["memory_id"]) == POISON
        assert open_one["vector_version"] == truth[POISON][0]
        assert open_one["reason"] == "Later."


async def test_an_outage_makes_no_dead_entries(stores: Stores) -> None:
    """However often the relay fails because the graph is away, no attempt is counted; it takes fewer at once."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_attempts=2, breaker_failures=100, retry_attempts=1) as memories:
        await _owe(memories, graph, range(4))
        graph.before["apply"] = failing(GraphUnavailableError(), first=1)
        taken = []
        for _ in range(10):
            await stores.end_leases()
            taken.append(await memories._parts.relay.work())
        assert taken == [4, 2, *[1] * 8]
        assert {(entry["attempts"], entry["dead_at"]) for entry in await stores.outbox()} == {(0, None)}
        graph.before.clear()
        assert (await memories.drain()).applied == 4
    await stores.assert_in_step()


async def test_the_relay_outlives_a_truth_that_fails(stores: Stores) -> None:
    """A relay that could not read or settle tries again until it can."""
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    async with stores.service(vector=truth, graph=graph, enable_relay=True, retry_attempts=1) as memories:
        graph.before["apply"] = failing(GraphStoreError("Later."), times=1)
        for method in ("claim", "read", "settle"):
            truth.before[method] = failing(VectorStoreUnavailableError(), first=truth.calls[method] + 1, times=3)
        await memories.store(**draft(1))
        await until(lambda: _called(truth, 4), what="the relay went on")
        await stores.end_leases()
        await until(lambda: _settled_or_due(stores), what="the entry is settled")
    await stores.assert_in_step()


async def _called(truth: Hooked, times: int) -> bool:
    return all(truth.calls[method] >= times for method in ("claim",))


async def _settled_or_due(stores: Stores) -> bool:
    """Let the lease of a claim that failed pass, and say whether nothing is left."""
    await stores.end_leases()
    return not await stores.outbox()


async def test_several_relays_at_once(stores: Stores) -> None:
    """Four relays work one outbox off without doing harm; each entry ends once."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, relay_batch=10) as memories:
        await _owe(memories, graph, range(200))
        relays = [stores.service(relay_batch=10) for _ in range(3)]
        graph.before.clear()
        others = [await relay.__aenter__() for relay in relays]
        reports = await asyncio.gather(memories.drain(), *(other.drain() for other in others))
        assert sum(report.applied for report in reports) == 200
        for relay in relays:
            await relay.__aexit__(None, None, None)
    await stores.assert_in_step()


async def test_tombstones_are_collected_and_the_floor_raised(stores: Stores) -> None:
    """Old, settled tombstones go from graph and truth; what is stored anew is above them, whatever the time."""
    ahead = 2**51
    async with stores.service() as memories:
        await memories.store_many([draft(number) for number in range(6)])
        for number in range(4):
            await memories.delete(f"m{number:04}", user_id=ALICE)
        await memories.drain()
        await stores.rows("UPDATE tombstones SET version = version + %s", ahead)
        await stores.cypher("MATCH (m:DiptychMemory) WHERE NOT m:Memory SET m.version = m.version + $by", by=ahead)
        assert await memories._parts.relay.collect() == 0
        await stores.rows("UPDATE tombstones SET deleted_at = deleted_at - interval '2 hours' WHERE id < 'm0003'")
        assert await memories._parts.relay.collect() == 3
        assert set(await stores.nodes()) == {Key(ALICE, f"m{number:04}") for number in (3, 4, 5)}
        again = await memories.store(**draft(1))
        never = await memories.store(**draft(77))
        for result in (again, never):
            assert result.outcome is Outcome.IN_STEP
            assert result.version is not None
            assert result.version > ahead
        await memories.drain()
    await stores.assert_in_step()


async def test_a_tombstone_in_doubt_is_kept(stores: Stores) -> None:
    """A tombstone that the graph does not have yet is not collected, however old."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph) as memories:
        await memories.store(**draft(1))
        await memories.wait_until_in_step("m0001", user_id=ALICE)
        graph.before["apply"] = failing(GraphStoreError("Later."))
        await memories.delete("m0001", user_id=ALICE)
        await stores.rows("UPDATE tombstones SET deleted_at = deleted_at - interval '2 hours'")
        assert await memories._parts.relay.collect() == 0
        graph.before.clear()
        await until(_released(memories), what="the lease is given up")
        await memories.drain()
        assert await memories._parts.relay.collect() == 1
    assert (await stores.truth(), await stores.nodes(), await stores.outbox()) == ({}, {}, [])
