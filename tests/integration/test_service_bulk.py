"""store_many and delete_all."""

from __future__ import annotations

import pytest

from persistence import (
    BulkInterruptedError,
    GraphStoreError,
    GraphUnavailableError,
    InvalidInputError,
    Key,
    Outcome,
    Progress,
    StorageStatus,
    VectorStoreError,
    WriteMode,
)
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, BOB, Stores, draft, until


async def test_outcomes_stand_in_the_order_given(stores: Stores) -> None:
    """Of duplicates the last wins, the others are `superseded` with its version; nothing else moves."""
    async with stores.service(batch_size=3) as memories:
        numbers = [5, 1, 5, 2, 9, 1, 5, 7]
        items = [draft(number, content=f"{position}") for position, number in enumerate(numbers)]
        results = await memories.store_many(items)
        assert [result.id for result in results] == [item["id"] for item in items]
        in_step, beaten = Outcome.IN_STEP, Outcome.SUPERSEDED
        assert [r.outcome for r in results] == [beaten, beaten, beaten, in_step, in_step, in_step, in_step, in_step]
        assert [result.changed for result in results] == [r.outcome is in_step for r in results]
        assert results[0].version == results[2].version == results[6].version
        there = {memory.id: memory.content for memory in (await memories.get_all(user_id=ALICE)).memories}
        assert there == {"m0005": "6", "m0001": "5", "m0002": "3", "m0009": "4", "m0007": "7"}
        await memories.drain()
    await stores.assert_in_step()


async def test_items_without_an_id_are_all_stored(stores: Stores) -> None:
    """Items without an id are as many memories, also where they are equal; drafts and mappings may be mixed."""
    async with stores.service() as memories:
        results = await memories.store_many([{**draft(1), "id": None} for _ in range(5)])
        assert len({result.id for result in results}) == 5
        assert await memories.store_many([]) == []
        await memories.drain()
    await stores.assert_in_step()


async def test_progress(stores: Stores) -> None:
    """Progress is reported after every batch that truth acknowledged."""
    seen: list[Progress] = []
    async with stores.service(batch_size=10) as memories:
        await memories.store_many([draft(number) for number in range(25)], progress=seen.append)
    assert seen == [Progress(10, 25), Progress(20, 25), Progress(25, 25)]


async def test_a_progress_callback_that_raises_ends_the_call(stores: Stores) -> None:
    """What the callback raises ends the call; what truth has by then is left to the relay at once."""

    def complain(_: Progress) -> None:
        raise ZeroDivisionError

    async with stores.service(batch_size=10) as memories:
        with pytest.raises(ZeroDivisionError):
            await memories.store_many([draft(number) for number in range(25)], progress=complain)
        await until(lambda: _due(stores, 10), what="the leases are given up, long before they end")
        await memories.drain()
    await stores.assert_in_step()


async def _due(stores: Stores, entries: int) -> bool:
    return [entry["due"] for entry in await stores.outbox()] == [True] * entries


async def test_modes(stores: Stores) -> None:
    """KEEP_LIVE leaves live memories alone, KEEP_ANY deleted ones too; both say so by `changed`."""
    async with stores.service() as memories:
        await memories.store_many([draft(1), draft(2)])
        await memories.delete("m0002", user_id=ALICE)
        again = [draft(number, content="again") for number in (1, 2, 3)]
        kept = await memories.store_many(again, mode=WriteMode.KEEP_ANY)
        assert [result.changed for result in kept] == [False, False, True]
        live = await memories.store_many(again, mode=WriteMode.KEEP_LIVE)
        assert [result.changed for result in live] == [False, True, False]
        there = {memory.id: memory.content for memory in (await memories.get_all(user_id=ALICE)).memories}
        assert there == {"m0001": draft(1)["content"], "m0002": "again", "m0003": "again"}
        await memories.drain()
    await stores.assert_in_step()


async def test_nothing_is_written_where_one_item_is_bad(stores: Stores) -> None:
    """All items are checked before the first is written; the error names the item."""
    async with stores.service(batch_size=2) as memories:
        with pytest.raises(InvalidInputError) as caught:
            await memories.store_many([*(draft(number) for number in range(30)), draft(30, content="")])
        assert caught.value.__notes__ == ["in item 30"]
        assert await stores.truth() == {}


@pytest.mark.parametrize("error", [GraphUnavailableError(), GraphStoreError("No.")], ids=["out", "no"])
async def test_a_graph_that_fails_leaves_its_batch_pending(stores: Stores, error: GraphStoreError) -> None:
    """A batch that the graph refused is `pending`, with the reason; the relay brings it up."""
    graph = Hooked(stores.graph())
    graph.before["apply"] = failing(error)
    async with stores.service(graph=graph, batch_size=10, breaker_probe=0.02) as memories:
        results = await memories.store_many([draft(number) for number in range(20)])
        assert {(r.outcome, r.graph) for r in results} == {(Outcome.PENDING, StorageStatus.PENDING)}
        assert results[0].error == error.message
        graph.before.clear()
        memories._parts.graph.breaker.succeeded()
        assert (await memories.drain()).applied == 20
    await stores.assert_in_step()


async def test_truth_that_fails_half_way(stores: Stores) -> None:
    """BulkInterruptedError holds what was acknowledged before truth failed; that is there, the rest is not."""
    truth = Hooked(stores.vector())
    truth.before["write_many"] = failing(VectorStoreError("No."), first=3)
    async with stores.service(vector=truth, batch_size=10) as memories:
        with pytest.raises(BulkInterruptedError) as caught:
            await memories.store_many([draft(number) for number in range(50)])
        assert sorted(caught.value.results) == list(range(20))
        assert {key.id for key in await stores.truth()} == {draft(number)["id"] for number in range(20)}
        await memories.drain()
    await stores.assert_in_step()


async def test_rollback_is_decided_for_each(stores: Stores) -> None:
    """With rollback, an item that the graph refuses is undone, and the others stay."""
    graph = Hooked(stores.graph())

    def refuse(_: int) -> None:
        (write,) = graph.given["apply"][-1]
        if write.id == "m0003" and write.fragment is not None:
            raise GraphStoreError("No.")

    graph.before["apply"] = refuse
    async with stores.service(graph=graph, rollback_on_partial_failure=True) as memories:
        results = await memories.store_many([draft(number) for number in range(6)])
        assert [result.outcome for result in results].count(Outcome.IN_STEP) == 5
        assert results[3].outcome is Outcome.ROLLED_BACK
        assert (await memories.count(user_id=ALICE)).value == 5
        await memories.drain()
    await stores.assert_in_step()


async def test_delete_all(stores: Stores) -> None:
    """delete_all deletes every memory of its tenant, page by page, none of another's, and can be repeated."""
    async with stores.service(batch_size=7) as memories:
        await memories.store_many([draft(number) for number in range(30)] + [draft(1, user_id=BOB)])
        result = await memories.delete_all(user_id=ALICE)
        assert (result.deleted, result.pending) == (30, 0)
        assert (await memories.delete_all(user_id=ALICE)).deleted == 0
        assert [key for key, (_, _, fragment) in (await stores.truth()).items() if fragment] == [Key(BOB, "m0001")]
        await memories.drain()
    await stores.assert_in_step()


async def test_delete_all_goes_on_where_it_stopped(stores: Stores) -> None:
    """A delete_all that lost truth half-way is finished by the next one."""
    truth = Hooked(stores.vector())
    truth.before["delete_many"] = failing(VectorStoreError("No."), first=3, times=1)
    async with stores.service(vector=truth, batch_size=5) as memories:
        await memories.store_many([draft(number) for number in range(20)])
        with pytest.raises(VectorStoreError):
            await memories.delete_all(user_id=ALICE)
        assert (await memories.count(user_id=ALICE)).value == 10
        assert (await memories.delete_all(user_id=ALICE)).deleted == 10
        await memories.drain()
    await stores.assert_in_step()
