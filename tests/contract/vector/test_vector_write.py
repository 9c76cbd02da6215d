"""Single writes."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from persistence.errors import (
    EmbeddingMismatchError,
    InvalidInputError,
    MemoryNotFoundError,
    PersistenceError,
    VersionConflictError,
)
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Resolution, VectorStore, WriteMode, Written
from persistence.records import Entity, Relationship
from tests.contract.vector.making import AT_ONCE, LEASED, NO_GRAPH, a_delete, a_write, settlement, vector_of

A = Key("ada", "a")


async def test_what_is_written_is_read_back(store: VectorStore) -> None:
    """Every field of a memory comes back as it was written, whatever JSON it holds."""
    write = a_write(
        "a",
        agent_id="agent",
        run_id="run",
        content="naïve ☃ \U0001f600\nline",
        metadata={"n": [1, 2.5, None, True], "deep": {"er": {"x": "ä"}}, "big": 2**63 - 1, "low": -(2**63)},
        entities=(Entity(name="Ada", type="Person", properties={"born": 1815}), Entity(name="B`\"'", type="x y")),
        relationships=(Relationship(source="Ada", type="KNOWS", target="B`\"'", target_type="x y"),),
        extracted=True,
        created_at=datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=2))),
    )
    receipt = await store.write(write, AT_ONCE)
    memory = (await store.read([A], embeddings=True))[A].memory
    assert memory is not None
    for name in ("user_id", "id", "agent_id", "run_id", "content", "metadata", "entities", "relationships"):
        assert getattr(write, name) == getattr(memory, name), name
    assert (write.extracted, write.digest, write.created_at) == (memory.extracted, memory.digest, memory.created_at)
    assert np.array_equal(write.embedding, memory.embedding)
    assert (receipt.version, receipt.updated_at) == (memory.version, memory.updated_at)


async def test_floats_beyond_64_bit_stay_floats(store: VectorStore) -> None:
    """A number that was a float outside 64 bit comes back as a float, though JSON may spell it as digits."""
    numbers = {"x": 1e20, "y": -1e300, "z": 5e-324, "i": 2**63 - 1, "f": 0.1}
    await store.write(a_write("a", metadata=numbers), AT_ONCE)
    memory = (await store.read([A]))[A].memory
    assert memory is not None
    assert numbers == memory.metadata
    assert {name: type(value) for name, value in numbers.items()} == {n: type(v) for n, v in memory.metadata.items()}


async def test_versions_are_microseconds_and_grow(store: VectorStore) -> None:
    """A version is about the time in microseconds, and each write of a memory has a higher one."""
    first = await store.write(a_write("a"), AT_ONCE)
    second = await store.write(a_write("a"), AT_ONCE)
    assert first.version is not None
    assert second.version is not None
    assert abs(first.version / 1e6 - datetime.now(UTC).timestamp()) < 60
    assert first.version < second.version < 2**53


async def test_created_at_is_kept(store: VectorStore) -> None:
    """The time of the first store stays through a replacement, unless the write brings its own."""
    first = await store.write(a_write("a"), AT_ONCE)
    second = await store.write(a_write("a"), AT_ONCE)
    assert first.created_at == second.created_at
    moment = datetime(1999, 1, 1, tzinfo=UTC)
    third = await store.write(a_write("a", created_at=moment), AT_ONCE)
    assert moment == third.created_at
    assert second.updated_at is not None
    assert second.created_at is not None
    assert second.updated_at > second.created_at


async def test_a_write_leaves_an_entry(store: VectorStore) -> None:
    """A tracked write's outbox entry is named by its write_id and has its version."""
    write = a_write("a")
    receipt = await store.write(write, LEASED)
    entry = (await store.pending([A]))[A]
    assert receipt.tracked
    assert (write.write_id, receipt.version, 0, False) == (entry.entry_id, entry.version, entry.attempts, entry.dead)
    assert await store.claim(limit=9, lease=1) == [], "the writer's lease is still running"


async def test_a_newer_write_takes_the_entry_over(store: VectorStore) -> None:
    """A second write renames the entry, and settling the first one's removes nothing."""
    await store.write(a_write("a"), AT_ONCE)
    old = (await store.pending([A]))[A]
    second = a_write("a")
    await store.write(second, AT_ONCE)
    assert await store.settle([settlement(old)]) == 0
    assert (await store.pending([A]))[A].entry_id == second.write_id


async def test_keep_live(store: VectorStore) -> None:
    """KEEP_LIVE leaves a live memory and its entry as they are, and makes a deleted one live again."""
    first = await store.write(a_write("a", content="first"), AT_ONCE)
    before = await store.pending([A])
    kept = await store.write(a_write("a", mode=WriteMode.KEEP_LIVE), LEASED)
    assert (Written.EXISTS, first.version, False) == (kept.status, kept.version, kept.tracked)
    assert before == await store.pending([A])
    await store.delete_many([a_delete("a")], AT_ONCE)
    again = await store.write(a_write("a", mode=WriteMode.KEEP_LIVE), AT_ONCE)
    assert again.status == Written.WRITTEN


async def test_keep_any(store: VectorStore) -> None:
    """KEEP_ANY leaves a deleted memory deleted, and no entry where there was none."""
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    kept = await store.write(a_write("a", mode=WriteMode.KEEP_ANY), LEASED)
    assert (Written.DELETED, gone.version) == (kept.status, kept.version)
    assert await store.pending([A]) == {}
    assert (await store.read([A]))[A].memory is None


async def test_update_needs_a_memory(store: VectorStore) -> None:
    """UPDATE of what is not there, or is deleted, raises and writes nothing."""
    with pytest.raises(MemoryNotFoundError):
        await store.write(a_write("a", mode=WriteMode.UPDATE), AT_ONCE)
    assert await store.read([A]) == {}
    assert await store.pending([A]) == {}
    await store.write(a_write("a"), AT_ONCE)
    await store.delete_many([a_delete("a")], AT_ONCE)
    with pytest.raises(MemoryNotFoundError):
        await store.write(a_write("a", mode=WriteMode.UPDATE), AT_ONCE)


async def test_expected_version(store: VectorStore) -> None:
    """A write that expects another version than the one there raises both and changes nothing, entry included."""
    first = await store.write(a_write("a"), AT_ONCE)
    assert first.version is not None
    before = await store.pending([A])
    with pytest.raises(VersionConflictError) as caught:
        await store.write(a_write("a", mode=WriteMode.UPDATE, expected_version=first.version - 1), LEASED)
    assert (first.version - 1, first.version) == (caught.value.expected, caught.value.actual)
    assert before == await store.pending([A])
    second = await store.write(a_write("a", mode=WriteMode.UPDATE, expected_version=first.version), AT_ONCE)
    assert second.status == Written.WRITTEN


async def test_expected_version_of_nothing(store: VectorStore) -> None:
    """A write that expects a version where there is none says that the memory does not exist."""
    with pytest.raises(VersionConflictError) as caught:
        await store.write(a_write("a", mode=WriteMode.UPDATE, expected_version=5), AT_ONCE)
    assert (caught.value.expected, caught.value.actual) == (5, None)


async def test_the_same_write_again(store: VectorStore) -> None:
    """A write sent twice is done once: the second answer has the first one's version, settled or not."""
    write = a_write("a")
    first = await store.write(write, AT_ONCE)
    entries = await store.pending([A])
    again = await store.write(write, LEASED)
    assert (first.version, first.status, True) == (again.version, again.status, again.tracked)
    assert entries == await store.pending([A])
    await store.settle([settlement(entry) for entry in entries.values()])
    settled = await store.write(write, LEASED)
    assert (first.version, False) == (settled.version, settled.tracked)
    assert await store.pending([A]) == {}


async def test_the_former_record(store: VectorStore) -> None:
    """Where it is asked for, the record that was replaced comes back whole, embedding included."""
    nothing = await store.write(a_write("a", content="first", metadata={"n": 1}), AT_ONCE, want_former=True)
    replaced = await store.write(a_write("a", content="second"), AT_ONCE, want_former=True)
    assert nothing.former is None
    assert replaced.former is not None
    assert ("first", {"n": 1}, nothing.version) == (
        replaced.former.content,
        replaced.former.metadata,
        replaced.former.version,
    )
    assert np.array_equal(vector_of("a"), replaced.former.embedding)


async def test_a_store_without_a_graph(store: VectorStore) -> None:
    """Without a graph, here or registered, no entry is left."""
    receipt = await store.write(a_write("a"), NO_GRAPH)
    assert not receipt.tracked
    assert await store.pending([A]) == {}


async def test_a_process_without_the_stores_graph(store: VectorStore) -> None:
    """Where a graph is registered, a process without one leaves entries marked disabled; a claim takes the mark off."""
    await store.register_graph(GraphIdentity(uuid.uuid4(), "db"), former=None)
    receipt = await store.write(a_write("a"), NO_GRAPH)
    assert receipt.tracked
    assert (await store.pending([A]))[A].disabled
    assert (await store.outbox_stats()).disabled == 1
    (claimed,) = await store.claim(limit=9, lease=60)
    assert not claimed.disabled


async def test_the_same_id_under_another_tenant(store: VectorStore) -> None:
    """A memory's identity is (user_id, id): the same id under two tenants is two memories."""
    await store.write(a_write("a", "ada", content="ada's"), AT_ONCE)
    await store.write(a_write("a", "babbage", content="babbage's"), AT_ONCE)
    await store.delete_many([a_delete("a", "ada")], AT_ONCE)
    found = await store.read([A, Key("babbage", "a")])
    assert found[A].memory is None
    assert found[Key("babbage", "a")].memory.content == "babbage's"


@pytest.mark.parametrize("size", [1, 7, 9])
async def test_a_wrong_dimension(store: VectorStore, size: int) -> None:
    """An embedding of another dimension is refused by type, singly and in a batch."""
    write = a_write("a", embedding=vector_of("a", size))
    with pytest.raises(EmbeddingMismatchError):
        await store.write(write, AT_ONCE)
    with pytest.raises(EmbeddingMismatchError):
        await store.write_many([write], AT_ONCE)
    assert await store.read([A]) == {}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
async def test_an_embedding_without_a_direction(store: VectorStore, number: float) -> None:
    """An embedding that is not finite, or all zero, is refused by type, singly and in a batch."""
    write = a_write("a", embedding=np.full(8, number, dtype=np.float32))
    with pytest.raises(InvalidInputError):
        await store.write(write, AT_ONCE)
    with pytest.raises(InvalidInputError):
        await store.write_many([write], AT_ONCE)


async def test_a_creation_time_out_of_the_calendar(store: VectorStore) -> None:
    """A time that UTC's calendar cannot hold is refused, since it could not be read back."""
    moment = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(PersistenceError):
        await store.write(a_write("a", created_at=moment), AT_ONCE)
    with pytest.raises(PersistenceError):
        await store.write_many([a_write("a", created_at=moment)], AT_ONCE)


async def test_resolve(store: VectorStore) -> None:
    """What became of a write is told from what is there now, and asking leaves no entry behind."""
    missing, first, second = a_write("a"), a_write("a"), a_write("a")
    assert await store.resolve(A, missing.write_id, None) == Resolution.NOT_WRITTEN
    assert await store.pending([A]) == {}
    receipt = await store.write(first, AT_ONCE)
    entries = await store.pending([A])
    assert await store.resolve(A, first.write_id, None) == Resolution.WRITTEN
    assert await store.resolve(A, missing.write_id, receipt.version) == Resolution.NOT_WRITTEN
    assert await store.resolve(A, missing.write_id, None) == Resolution.UNKNOWN
    assert entries == await store.pending([A])
    await store.write(second, AT_ONCE)
    assert await store.resolve(A, first.write_id, None) == Resolution.UNKNOWN
    delete = a_delete("a")
    await store.delete_many([delete], AT_ONCE)
    assert await store.resolve(A, delete.write_id, None) == Resolution.WRITTEN


async def test_a_version_above_what_the_graph_has(store: VectorStore) -> None:
    """A write, a delete and a tombstone written anew get versions above the one they are given."""
    ahead = (await store.write(a_write("a"), AT_ONCE)).version + 10**9
    written = await store.write(a_write("a", above=ahead), AT_ONCE)
    assert written.version == ahead + 1
    (deleted,) = await store.delete_many([replace(a_delete("a"), above=written.version + 10)], AT_ONCE)
    assert deleted.version == written.version + 11
    anew = replace(a_delete("a", expected_version=deleted.version), above=deleted.version + 10)
    (raised,) = await store.delete_many([anew], AT_ONCE)
    assert (raised.status, raised.version, raised.tracked) == (Written.WRITTEN, deleted.version + 11, True)
    (left_alone,) = await store.delete_many([replace(a_delete("a"), above=deleted.version)], AT_ONCE)
    assert (left_alone.status, left_alone.version) == (Written.DELETED, raised.version)
