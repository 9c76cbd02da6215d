"""Batches of writes, and deletes."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest

from persistence.errors import InvalidInputError, MemoryNotFoundError, VersionConflictError
from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore, WriteMode, Written
from persistence.records import Entity, Relationship
from tests.contract.vector.making import AT_ONCE, LEASED, NO_GRAPH, a_delete, a_write, settlement

A, B, C = Key("ada", "a"), Key("ada", "b"), Key("ada", "c")


async def test_a_batch_is_as_many_single_writes(store: VectorStore) -> None:
    """A memory written in a batch reads as one that was written singly."""
    fields = {
        "agent_id": "agent",
        "run_id": None,
        "content": "ü" * 300,
        "metadata": {"n": 1, "s": "ß", "x": 1e20},
        "entities": (Entity(name="Ada", type="Person", properties={"of": ["a", "b"]}),),
        "relationships": (Relationship(source="Ada", type="IS", target="Ada", properties={"x": 0.5}),),
        "extracted": True,
        "created_at": datetime(2001, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
        "digest": 2**63 - 1,
    }
    await store.write(a_write("a", **fields), AT_ONCE)
    await store.write_many([a_write("b", **fields, embedding=a_write("a").embedding)], AT_ONCE)
    found = await store.read([A, B], embeddings=True)
    single, batched = found[A].memory, found[B].memory
    assert single is not None
    changes = {"id": "a", "version": single.version, "updated_at": single.updated_at}
    assert single == batched.model_copy(update=changes)


async def test_receipts_in_the_order_given(store: VectorStore) -> None:
    """Receipts of a mixed batch come in the order given: new, replaced, once deleted."""
    old = await store.write(a_write("b"), AT_ONCE)
    await store.write(a_write("c"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("c")], AT_ONCE)
    batch = [a_write("c", content="3"), a_write("a", content="1"), a_write("b", content="2")]
    receipts = await store.write_many(batch, AT_ONCE)
    found = await store.read([A, B, C])
    assert [found[Key("ada", write.id)].version for write in batch] == [receipt.version for receipt in receipts]
    assert [write.content for write in batch] == [found[Key("ada", write.id)].memory.content for write in batch]
    assert receipts[0].version > gone.version
    assert receipts[2].version > old.version
    assert receipts[2].created_at == old.created_at
    assert {write.write_id for write in batch} == {
        entry.entry_id for entry in (await store.pending([A, B, C])).values()
    }


@pytest.mark.parametrize("mode", [WriteMode.KEEP_LIVE, WriteMode.KEEP_ANY])
async def test_a_batch_that_keeps(store: VectorStore, mode: WriteMode) -> None:
    """A keeping batch leaves what is there, and its entries, alone, and writes the rest."""
    await store.write(a_write("a"), AT_ONCE)
    await store.write(a_write("b"), AT_ONCE)
    await store.delete_many([a_delete("b")], AT_ONCE)
    before = await store.pending([A, B])
    batch = [a_write(name, mode=mode) for name in ("c", "b", "a")]
    receipts = await store.write_many(batch, LEASED)
    revived = Written.WRITTEN if mode is WriteMode.KEEP_LIVE else Written.DELETED
    assert [Written.WRITTEN, revived, Written.EXISTS] == [receipt.status for receipt in receipts]
    after = await store.pending([A, B, C])
    assert before[A] == after[A]
    assert (before[B] == after[B]) == (mode is WriteMode.KEEP_ANY)
    assert after[C].entry_id == batch[0].write_id


async def test_the_same_batch_again(store: VectorStore) -> None:
    """A batch sent twice is done once, in every mode that writes."""
    for mode in (WriteMode.REPLACE, WriteMode.KEEP_LIVE, WriteMode.KEEP_ANY):
        batch = [a_write(f"{mode.value}-{i}", mode=mode) for i in range(5)]
        first = await store.write_many(batch, AT_ONCE)
        again = await store.write_many(batch, AT_ONCE)
        assert [(r.status, r.version) for r in first] == [(r.status, r.version) for r in again]


async def test_a_batch_of_updates(store: VectorStore) -> None:
    """A batch of updates with one memory that is not there raises, and writes none of them."""
    first = await store.write(a_write("a"), AT_ONCE)
    with pytest.raises(MemoryNotFoundError):
        await store.write_many([a_write(name, mode=WriteMode.UPDATE) for name in "ab"], AT_ONCE)
    assert (await store.read([A]))[A].version == first.version
    assert await store.pending([B]) == {}


async def test_a_batch_without_a_graph(store: VectorStore) -> None:
    """A batch of a process without a graph leaves no entries in a store without one."""
    receipts = await store.write_many([a_write(name, mode=WriteMode.KEEP_LIVE) for name in "abc"], NO_GRAPH)
    assert {False} == {receipt.tracked for receipt in receipts}
    assert await store.pending([A, B, C]) == {}


async def test_a_batch_the_port_forbids(store: VectorStore) -> None:
    """Two writes of one memory in a batch, or two modes, are refused."""
    with pytest.raises(InvalidInputError):
        await store.write_many([a_write("a"), a_write("a")], AT_ONCE)
    with pytest.raises(InvalidInputError):
        await store.write_many([a_write("a"), a_write("b", mode=WriteMode.KEEP_ANY)], AT_ONCE)
    assert await store.write_many([], AT_ONCE) == []


async def test_a_large_batch(store: VectorStore) -> None:
    """A batch of hundreds, in random order (seed 7) and over several tenants, comes back whole."""
    writes = [a_write(f"{i:05}", f"user-{i % 3}", metadata={"i": i}) for i in range(600)]
    random.Random(7).shuffle(writes)
    receipts = await store.write_many(writes, AT_ONCE)
    found = await store.read([Key(w.user_id, w.id) for w in writes], embeddings=True)
    for write, receipt in zip(writes, receipts, strict=True):
        memory = found[Key(write.user_id, write.id)].memory
        assert (receipt.version, write.metadata) == (memory.version, memory.metadata)
        assert np.array_equal(write.embedding, memory.embedding)
    assert (await store.outbox_stats()).pending == 600


async def test_delete(store: VectorStore) -> None:
    """A delete leaves a tombstone at a higher version and an entry, and the memory is in no read any more."""
    written = await store.write(a_write("a"), AT_ONCE)
    delete = a_delete("a")
    (gone,) = await store.delete_many([delete], AT_ONCE, want_former=True)
    truth = (await store.read([A]))[A]
    assert (gone.status, gone.tracked) == (Written.WRITTEN, True)
    assert gone.version > written.version
    assert (None, gone.version) == (truth.memory, truth.tombstone.version)
    assert (delete.write_id, gone.version) == ((e := (await store.pending([A]))[A]).entry_id, e.version)
    assert gone.former.content == "content of a"


async def test_delete_again(store: VectorStore) -> None:
    """Deleting the deleted answers with the tombstone's version and leaves its entry alone; the unknown is absent."""
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    before = await store.pending([A])
    again, unknown = await store.delete_many([a_delete("a"), a_delete("b")], LEASED)
    assert (Written.DELETED, gone.version, False) == (again.status, again.version, again.tracked)
    assert (unknown.status, unknown.version, unknown.tracked) == (Written.ABSENT, None, False)
    assert before == await store.pending([A, B])


async def test_the_same_delete_again(store: VectorStore) -> None:
    """A delete sent twice is done once."""
    await store.write(a_write("a"), AT_ONCE)
    delete = a_delete("a")
    (first,) = await store.delete_many([delete], AT_ONCE)
    (again,) = await store.delete_many([delete], AT_ONCE)
    assert (Written.WRITTEN, first.version) == (again.status, again.version)


async def test_a_delete_that_expects_a_version(store: VectorStore) -> None:
    """One wrong expected version among the deletes raises, and none of them happens."""
    first, second = await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
    with pytest.raises(VersionConflictError) as caught:
        await store.delete_many(
            [a_delete("a", expected_version=first.version), a_delete("b", expected_version=1)], LEASED
        )
    assert (1, second.version) == (caught.value.expected, caught.value.actual)
    assert None not in [truth.memory for truth in (await store.read([A, B])).values()]
    with pytest.raises(VersionConflictError) as caught:
        await store.delete_many([a_delete("c", expected_version=1)], AT_ONCE)
    assert caught.value.actual is None


async def test_a_stored_memory_after_its_delete(store: VectorStore) -> None:
    """What is stored after its delete is live, above the tombstone, and the tombstone is gone."""
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    again = await store.write(a_write("a"), AT_ONCE)
    truth = (await store.read([A]))[A]
    assert again.version > gone.version
    assert (again.version, None) == (truth.memory.version, truth.tombstone)


async def test_tombstones(store: VectorStore) -> None:
    """A tombstone is due once settled and old enough; collecting it raises the floor, and a re-store is above that."""
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    assert await store.tombstones_due(age=0, limit=9) == [], "its entry is still there"
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    assert await store.tombstones_due(age=60, limit=9) == [], "it is not old enough"
    due = await store.tombstones_due(age=0, limit=9)
    assert [("ada", "a", gone.version)] == [(t.user_id, t.id, t.version) for t in due]
    assert await store.collect_tombstones(due) == 1
    assert await store.collect_tombstones(due) == 0
    assert (await store.info()).floor == gone.version
    assert await store.read([A]) == {}
    assert (await store.write(a_write("a"), AT_ONCE)).version > gone.version


async def test_a_tombstone_that_changed_is_not_collected(store: VectorStore) -> None:
    """A tombstone of another version, or with an entry, stays."""
    await store.write(a_write("a"), AT_ONCE)
    await store.delete_many([a_delete("a")], AT_ONCE)
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    due = await store.tombstones_due(age=0, limit=9)
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    assert await store.collect_tombstones(due) == 0
    assert await store.collect_tombstones([(await store.read([A]))[A].tombstone]) == 0, "its entry is still there"
    assert (await store.read([A]))[A].version == gone.version
    assert (await store.info()).floor == 0


async def test_an_older_tombstone_is_not_collected_for_a_newer(store: VectorStore) -> None:
    """A tombstone that was made anew since it was found due stays, though it is settled. Guard: its version."""
    found = []
    for _ in range(2):
        await store.write(a_write("a"), AT_ONCE)
        (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
        await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
        found.append(await store.tombstones_due(age=0, limit=9))
    assert await store.collect_tombstones(found[0]) == 0
    assert ((await store.read([A]))[A].version, (await store.info()).floor) == (gone.version, 0)
    assert await store.collect_tombstones(found[1]) == 1
