"""Single writes of the service: their outcomes, rollback, patches, versions, idempotency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persistence import (
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    InvalidInputError,
    Key,
    MemoryNotFoundError,
    Outcome,
    StorageStatus,
    VectorStoreUnavailableError,
    VersionConflictError,
)
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, Stores, draft, until, vector


async def test_in_step(stores: Stores) -> None:
    """A write that both stores took is `in_step`, with the memory as truth has it."""
    async with stores.service() as memories:
        result = await memories.store(**draft(1, metadata={"n": 1}, agent_id="a", run_id="r"))
        assert (result.outcome, result.vector, result.graph) == (Outcome.IN_STEP, StorageStatus.OK, StorageStatus.OK)
        assert result.changed
        assert result.error is None
        assert result.duration_ms > 0
        assert result.memory == await memories.get("m0001", user_id=ALICE)
        await memories.wait_until_in_step("m0001", user_id=ALICE)
    await stores.assert_in_step()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [GraphUnavailableError(), GraphStoreError("The graph refused.")], ids=["out", "no"])
async def test_pending(stores: Stores, moment: str, error: GraphStoreError) -> None:
    """Whatever the graph says no with, before or after it applied the write, truth keeps it and the relay goes on."""
    graph = Hooked(stores.graph())
    getattr(graph, moment)["apply"] = failing(error)
    async with stores.service(graph=graph) as memories:
        result = await memories.store(**draft(1))
        assert (result.outcome, result.graph, result.error) == (Outcome.PENDING, StorageStatus.PENDING, error.message)
        assert result.memory == await memories.get("m0001", user_id=ALICE)
        getattr(graph, moment).clear()
        await until(lambda: _drained(memories), what="the relay brings it up")
    await stores.assert_in_step()


async def _drained(memories: Any) -> bool:
    return (await memories.drain()).pending == 0


async def test_graph_conflicts_are_repeated(stores: Stores) -> None:
    """What the graph undid because of a concurrent write is sent again, within the call."""
    graph = Hooked(stores.graph())
    graph.before["apply"] = failing(GraphConflictError(), times=2)
    async with stores.service(graph=graph) as memories:
        assert (await memories.store(**draft(1))).outcome is Outcome.IN_STEP
    assert graph.calls["apply"] == 3


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_rollback_of_a_new_memory(stores: Stores, moment: str) -> None:
    """With rollback, a new memory that the graph refused is a tombstone above it, and comes in step as one."""
    graph = Hooked(stores.graph())
    getattr(graph, moment)["apply"] = failing(GraphStoreError("The graph refused."), times=1)
    async with stores.service(graph=graph, rollback_on_partial_failure=True) as memories:
        result = await memories.store(**draft(1))
        assert (result.outcome, result.vector, result.graph) == (
            Outcome.ROLLED_BACK,
            StorageStatus.ROLLED_BACK,
            StorageStatus.ROLLED_BACK,
        )
        assert not result.changed
        assert result.memory is None
        assert result.error == "The graph refused."
        assert await memories.get("m0001", user_id=ALICE) is None
        assert len(await stores.outbox()) == 1
        await memories.drain()
    assert (await stores.truth())[Key(ALICE, "m0001")] == (result.version, 0, None)
    await stores.assert_in_step()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_rollback_restores_the_former_record(stores: Stores, moment: str) -> None:
    """With rollback, what was there before is back at a higher version, embedding and times included."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, rollback_on_partial_failure=True) as memories:
        former = (await memories.store(**draft(1, metadata={"kept": True}))).memory
        assert former is not None
        getattr(graph, moment)["apply"] = failing(GraphStoreError("No."), first=2, times=1)
        result = await memories.store(
            **draft(1, content="never", metadata={}, embedding=vector(77), entities=[], relationships=[])
        )
        assert result.outcome is Outcome.ROLLED_BACK
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert result.memory == there
        assert there.version > former.version
        assert there == former.model_copy(update={"version": there.version, "updated_at": there.updated_at})
        await memories.drain()
    await stores.assert_in_step()


async def test_rollback_of_a_delete(stores: Stores) -> None:
    """With rollback, a delete that the graph refused leaves the memory as it was, at a higher version."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, rollback_on_partial_failure=True) as memories:
        former = (await memories.store(**draft(1))).memory
        assert former is not None
        graph.before["apply"] = failing(GraphStoreError("No."), first=2, times=1)
        result = await memories.delete("m0001", user_id=ALICE)
        assert (result.outcome, result.changed) == (Outcome.ROLLED_BACK, False)
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert there.version > former.version
        assert there.content == former.content
        assert there.created_at == former.created_at
        await memories.drain()
    await stores.assert_in_step()


async def test_rollback_undoes_nothing_of_others(stores: Stores) -> None:
    """Where someone wrote between our write and its rollback, theirs stays and ours is `superseded`."""
    graph = Hooked(stores.graph())
    async with stores.service() as others, stores.service(graph=graph, rollback_on_partial_failure=True) as memories:

        async def interfere(_: int) -> None:
            await others.store(**draft(1, content="theirs"))
            raise GraphStoreError("No.")

        graph.before["apply"] = interfere
        result = await memories.store(**draft(1, content="ours"))
        assert result.outcome is Outcome.SUPERSEDED
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert there.content == "theirs"
        await others.drain()
    await stores.assert_in_step()


async def test_a_rollback_that_fails_leaves_the_write_pending(stores: Stores) -> None:
    """Where the compensation cannot be written, the write stays and rolls forward, and the answer says why."""
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    graph.before["apply"] = failing(GraphStoreError("No."), times=1)
    truth.before["delete_many"] = failing(VectorStoreUnavailableError())
    async with stores.service(vector=truth, graph=graph, rollback_on_partial_failure=True) as memories:
        result = await memories.store(**draft(1))
        assert result.outcome is Outcome.PENDING
        assert result.error is not None
        assert "could not be undone" in result.error
        await until(lambda: _drained(memories), what="the relay rolls it forward")
    await stores.assert_in_step()


async def test_store_replaces_and_keeps_the_time_of_the_first(stores: Stores) -> None:
    """A second store of an id replaces every field, at a higher version; created_at stays, updated_at moves."""
    async with stores.service() as memories:
        first = (await memories.store(**draft(1, metadata={"a": 1}))).memory
        second = (await memories.store(**draft(1, content="new"))).memory
        assert first is not None
        assert second is not None
        assert second.version > first.version
        assert (second.created_at, second.metadata) == (first.created_at, {})
        assert second.updated_at > first.updated_at
        await memories.drain()
    await stores.assert_in_step()


async def test_update_is_a_patch(stores: Stores) -> None:
    """Update changes the fields given and no other; None clears agent and run; nothing else can be named."""
    async with stores.service() as memories:
        await memories.store(**draft(1, metadata={"a": 1}, agent_id="agent", run_id="run"))
        before = await memories.get("m0001", user_id=ALICE)
        result = await memories.update("m0001", user_id=ALICE, metadata={"b": 2}, agent_id=None)
        after = await memories.get("m0001", user_id=ALICE)
        assert before is not None
        assert after is not None
        assert result.memory == after
        changed = {"metadata": {"b": 2}, "agent_id": None}
        moved = {"version": after.version, "digest": after.digest, "updated_at": after.updated_at}
        assert after == before.model_copy(update=changed | moved)
        with pytest.raises(InvalidInputError):
            await memories.update("m0001", user_id=ALICE, version=7)
        await memories.drain()
    await stores.assert_in_step()


async def test_new_content_is_embedded_and_extracted_anew(stores: Stores) -> None:
    """An update of the content makes a new embedding, and new entities where the old ones were extracted from it."""
    async with stores.service() as memories:
        await memories.store("Write to ada@example.org.", user_id=ALICE, id="m0001")
        before = await memories.get("m0001", user_id=ALICE)
        await memories.update("m0001", user_id=ALICE, content="Write to babbage@example.org.")
        after = await memories.get("m0001", user_id=ALICE)
        assert before is not None
        assert after is not None
        assert "ada@example.org" in {entity.name for entity in before.entities}
        assert "ada@example.org" not in {entity.name for entity in after.entities}
        assert "babbage@example.org" in {entity.name for entity in after.entities}
        assert before.embedding is not None
        assert after.embedding is not None
        assert (before.embedding != after.embedding).any()
        await memories.drain()
    await stores.assert_in_step()


async def test_expected_version(stores: Stores) -> None:
    """With expected_version a write happens at that version alone; else it raises with what is there, and nothing."""
    async with stores.service() as memories:
        version = (await memories.store(**draft(1))).version
        assert version is not None
        with pytest.raises(VersionConflictError) as caught:
            await memories.update("m0001", user_id=ALICE, expected_version=version - 1, content="no")
        assert (caught.value.expected, caught.value.actual) == (version - 1, version)
        newer = await memories.update("m0001", user_id=ALICE, expected_version=version, content="yes")
        with pytest.raises(VersionConflictError):
            await memories.delete("m0001", user_id=ALICE, expected_version=version)
        assert (await memories.delete("m0001", user_id=ALICE, expected_version=newer.version)).changed
        with pytest.raises(VersionConflictError) as gone:
            await memories.update("m0001", user_id=ALICE, expected_version=newer.version, content="no")
        assert gone.value.actual is None
        with pytest.raises(MemoryNotFoundError):
            await memories.update("m0001", user_id=ALICE, content="no")
        await memories.drain()
    await stores.assert_in_step()


async def test_no_concurrent_patch_is_lost(stores: Stores) -> None:
    """Patches without an expected version, put on one memory by eight tasks at once, are all there in the end."""
    async with stores.service() as memories:
        await memories.store(**draft(1, metadata={"count": 0}))

        async def add(_: int) -> None:
            while True:
                there = await memories.get("m0001", user_id=ALICE)
                assert there is not None
                changed = {"count": there.metadata["count"] + 1}
                try:
                    await memories.update(
                        "m0001", user_id=ALICE, expected_version=there.version, metadata=changed, timeout=30
                    )
                except VersionConflictError:
                    continue
                return

        fields: list[dict[str, Any]] = [{"agent_id": "agent"}, {"run_id": "run"}, {"content": "content"}]
        others = [memories.update("m0001", user_id=ALICE, **field, timeout=30) for field in fields]
        await asyncio.gather(*(add(number) for number in range(8)), *others)
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert (there.metadata, there.agent_id, there.run_id, there.content) == (
            {"count": 8},
            "agent",
            "run",
            "content",
        )
        await memories.drain()
    await stores.assert_in_step()


async def test_idempotency_key(stores: Stores) -> None:
    """A repeated store with one key is one memory, whatever the second one says, also when it was deleted since."""
    async with stores.service() as memories:
        given = {**draft(1), "id": None, "idempotency_key": "order 66"}
        first = await memories.store(**given)
        again = await memories.store(**{**given, "content": "something else"})
        assert (again.id, again.version, again.changed) == (first.id, first.version, False)
        assert again.memory is not None
        assert again.memory.content == draft(1)["content"]
        other = await memories.store(**{**given, "user_id": "bob"})
        assert other.id != first.id
        at_once = await asyncio.gather(*(memories.store(**{**given, "idempotency_key": "k"}) for _ in range(8)))
        assert len({result.id for result in at_once}) == 1
        assert sum(result.changed for result in at_once) == 1
        await memories.delete(first.id, user_id=ALICE)
        late = await memories.store(**given)
        assert (late.changed, late.memory) == (False, None)
        with pytest.raises(InvalidInputError):
            await memories.store(**{**given, "id": "m0001"})
        await memories.drain()
    await stores.assert_in_step()


async def test_delete_twice(stores: Stores) -> None:
    """The second delete changes nothing and says so; so does the delete of what never was."""
    async with stores.service() as memories:
        stored = await memories.store(**draft(1))
        first = await memories.delete("m0001", user_id=ALICE)
        second = await memories.delete("m0001", user_id=ALICE)
        never = await memories.delete("m0002", user_id=ALICE)
        assert stored.version is not None
        assert first.version is not None
        assert first.version > stored.version
        assert (first.changed, second.changed, never.changed) == (True, False, False)
        assert (second.version, never.version) == (first.version, None)
        assert second.memory is None
        await memories.drain()
        assert len(await stores.truth()) == 1
    await stores.assert_in_step()


async def test_wait_until_in_step(stores: Stores) -> None:
    """It returns once the graph has the memory, and raises where that takes longer than its deadline."""
    graph = Hooked(stores.graph())
    graph.before["apply"] = failing(GraphUnavailableError())
    async with stores.service(graph=graph, enable_relay=True) as memories:
        await memories.store(**draft(1))
        with pytest.raises(TimeoutError):
            await memories.wait_until_in_step("m0001", user_id=ALICE, timeout=0.3)
        graph.before.clear()
        await memories.wait_until_in_step("m0001", user_id=ALICE, timeout=10)
        assert (await stores.nodes())[Key(ALICE, "m0001")].live
        await memories.wait_until_in_step("never stored", user_id=ALICE)


async def test_graph_required(stores: Stores) -> None:
    """With graph_required a write is refused, before anything is written, while the graph is known to be away."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph, graph_required=True, breaker_probe=60.0) as memories:
        graph.before["apply"] = failing(GraphUnavailableError())
        assert (await memories.store(**draft(1))).outcome is Outcome.PENDING
        for refused in (
            memories.store(**draft(2)),
            memories.store_many([draft(2)]),
            memories.update("m0001", user_id=ALICE, content="no"),
            memories.delete("m0001", user_id=ALICE),
        ):
            with pytest.raises(GraphUnavailableError):
                await refused
        assert set(await stores.truth()) == {Key(ALICE, "m0001")}
