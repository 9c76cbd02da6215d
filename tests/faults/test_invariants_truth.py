"""I1, I2, I6 and I7 of the design; each test's docstring names the guards without which it fails.

Of a guard in truth the names are pgvector's; those of SQLite are in writes.sql and outbox.sql, those of Qdrant are said
besides. I1 where truth is a folder or a file is in tests/integration: writers are killed there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persistence import (
    GraphUnavailableError,
    Outcome,
    OutcomeUnknownError,
    PersistenceError,
    VectorStoreUnavailableError,
)
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, TRUTHS, Stores, draft

on_each_truth = pytest.mark.parametrize("stores", TRUTHS, indirect=True)


async def test_i1_an_acknowledged_write_outlives_its_server(own: Stores, postgres_server: Any) -> None:
    """I1: what was acknowledged is there after Postgres was killed at that moment.

    Guard: migrations, settle_entries: `synchronous_commit` goes off for the settling transaction alone (the third
    argument of set_config). Off for the session, later writes on that connection are acknowledged before they last.
    """
    async with own.service(pool_size=1) as memories:
        for number in range(5):
            await memories.store(**draft(number))
            await memories.wait_until_in_step(f"m{number:04}", user_id=ALICE)
        acknowledged = [await memories.store(**draft(number)) for number in range(5, 15)]
        await postgres_server.kill()
        await postgres_server.start()
        there = await own.truth()
        assert {result.id for result in acknowledged} <= {key.id for key in there}
        await own.end_leases()
        await memories.drain()
    await own.assert_in_step()


@on_each_truth
async def test_i2_truth_and_its_entry_are_one_write(stores: Stores) -> None:
    """I2: when the graph is asked, and when entries are settled, every difference is in the outbox.

    Guards: migrations, judge_writes: the entry is inserted, or made this write's, in the transaction of the write. In
    Qdrant writes.py, `_point`: the entry's fields are in the point that the write puts there.
    """
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    graph.before["apply"] = truth.before["settle"] = lambda _: stores.assert_doubts_listed()
    async with stores.service(vector=truth, graph=graph) as memories:
        await memories.store(**draft(1))
        await memories.store(**draft(1, content="again"))
        await memories.update("m0001", user_id=ALICE, content="changed")
        await memories.store_many([draft(number) for number in range(10)])
        await memories.delete("m0003", user_id=ALICE)
        await memories.wait_until_in_step("m0003", user_id=ALICE)
    assert graph.calls["apply"] == 5
    await stores.assert_in_step()


@on_each_truth
async def test_i2_a_late_settlement_leaves_the_entry_of_a_newer_write(stores: Stores) -> None:
    """I2: settling a write that was overtaken does not hide that the graph lacks the newer one.

    Guards: migrations, settle_entries: an entry goes only while entry_id and version are those of the settlement. In
    Qdrant outbox.py, `_settle`: fields are taken away where `entry` still names them.
    """
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    go_on, settled = asyncio.Event(), asyncio.Event()
    truth.before["settle"] = lambda _: go_on.wait()
    truth.after["settle"] = lambda _: settled.set()
    graph.before["apply"] = failing(GraphUnavailableError(), first=2)
    async with stores.service(vector=truth, graph=graph) as memories:
        await memories.store(**draft(1))
        newer = await memories.store(**draft(1, content="newer"))
        assert newer.outcome is Outcome.PENDING
        go_on.set()
        await settled.wait()
        assert [entry["version"] for entry in await stores.outbox()] == [newer.version]
        await stores.assert_doubts_listed()


@on_each_truth
@pytest.mark.parametrize("error", [VectorStoreUnavailableError(), TimeoutError()], ids=["unreachable", "silent"])
async def test_i6_a_failed_read_deletes_nothing(stores: Stores, error: Exception) -> None:
    """I6: a relay that cannot read truth leaves the graph and the outbox as they are.

    Guard: relay.py, Relay._jobs: the read goes through TruthGate.read, whose errors end the batch; only a read that
    succeeded says that a memory is absent.
    """
    truth = Hooked(stores.vector())
    async with stores.service(vector=truth) as memories:
        await memories.store(**draft(1))
        await memories.wait_until_in_step("m0001", user_id=ALICE)
        await stores.list_all(above=1)
        truth.before["read"] = failing(error)
        with pytest.raises(PersistenceError):
            await memories.drain()
        assert await stores.differences() == []
        assert len(await stores.outbox()) == 1


@on_each_truth
async def test_i6_what_truth_cannot_say_is_no_empty_answer(stores: Stores) -> None:
    """I6: where hits of the graph cannot be looked up in truth, `related` raises instead of finding nothing.

    Guard: reading.py, Reader._hydrate: errors of the look-up go to the caller.
    """
    truth = Hooked(stores.vector())
    async with stores.service(vector=truth) as memories:
        await memories.store_many([draft(1), draft(4)])
        assert len(await memories.related("m0001", user_id=ALICE)) == 1
        truth.before["read"] = failing(VectorStoreUnavailableError(), first=truth.calls["read"] + 2)
        with pytest.raises(VectorStoreUnavailableError):
            await memories.related("m0001", user_id=ALICE)


@on_each_truth
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_i7_a_lost_acknowledgement_is_looked_into(stores: Stores, moment: str) -> None:
    """I7: whether the write was there or not when its answer was lost, it is written once and acknowledged.

    Guard: gates.py, TruthGate.write: it asks truth what became of the write, and sends it again under the same
    write_id, which truth recognises.
    """
    truth = Hooked(stores.vector())
    async with stores.service(vector=truth) as memories:
        getattr(truth, moment)["write"] = failing(OutcomeUnknownError(), times=1)
        stored = await memories.store(**draft(1))
        getattr(truth, moment)["delete_many"] = failing(OutcomeUnknownError(), times=1)
        deleted = await memories.delete("m0001", user_id=ALICE, expected_version=stored.version)
        assert (stored.outcome, deleted.outcome, deleted.changed) == (Outcome.IN_STEP, Outcome.IN_STEP, True)
        assert truth.calls["write"] == truth.calls["delete_many"] == 2
        assert [(version, fragment) for version, _, fragment in (await stores.truth()).values()] == [
            (deleted.version, None)
        ]
        await memories.drain()
    await stores.assert_in_step()


@on_each_truth
async def test_i7_an_outcome_that_stays_unknown_is_said_and_not_forgotten(stores: Stores) -> None:
    """I7: where truth cannot be asked either the call says so; what it left is brought in step, not guessed.

    Guards: gates.py, TruthGate.write raises OutcomeUnknownError instead of answering; the entry is in the outbox.
    """
    truth = Hooked(stores.vector())
    truth.after["write"] = failing(OutcomeUnknownError())
    async with stores.service(vector=truth, enable_relay=True) as memories:
        truth.before["resolve"] = failing(VectorStoreUnavailableError(), times=3)
        with pytest.raises(OutcomeUnknownError):
            await memories.store(**draft(1))
        await memories.wait_until_in_step("m0001", user_id=ALICE)
        assert await memories.get("m0001", user_id=ALICE) is not None
    await stores.assert_in_step()


@on_each_truth
async def test_i7_a_graph_that_applied_without_an_answer_is_asked_again(stores: Stores) -> None:
    """I7: a graph write whose answer was lost counts as pending, and is applied again with the same result.

    Guard: writing.py, Writer._project settles only what the graph acknowledged.
    """
    graph = Hooked(stores.graph())
    graph.after["apply"] = failing(GraphUnavailableError(), times=3)
    async with stores.service(graph=graph, retry_attempts=3) as memories:
        result = await memories.store(**draft(1))
        assert result.outcome is Outcome.PENDING
        assert len(await stores.outbox()) == 1
        assert await stores.differences() == []
        memories._parts.graph.breaker.succeeded()
        report = await memories.drain()
        assert (report.applied, report.pending) == (1, 0)
    await stores.assert_in_step()
