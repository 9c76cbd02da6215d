"""Copies from another store: at exact versions, over what is older, listed for the graph, repeatable."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.filters import Filter
from persistence.ports.checking import EVERYTHING
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Tombstone, Transferred, VectorStore
from persistence.records import Entity, Memory, Relationship
from tests.contract.vector.conftest import Backend
from tests.contract.vector.making import AT_ONCE, DIMENSION, LEASED, NO_GRAPH, a_delete, a_write, settlement, vector_of

USERS = ("ada", "bob", "Zoë 🜚", "￿", "𐀀")
THEN = datetime(2001, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)


def a_memory(memory_id: str, user_id: str = "ada", *, version: int = 10, **given: Any) -> Memory:
    """Return a memory with something in every field; what is not given follows from its id and version."""
    fields: dict[str, Any] = {
        "agent_id": "agent",
        "run_id": None,
        "content": f"{memory_id} at {version}: “Zoë” 🜚",
        "metadata": {"n": version, "deep": {"list": [1, 2.5, None, True], "text": "ä"}},
        "entities": (Entity(name="Ada", type="Person", properties={"age": 36}), Entity(name="B", type="Place")),
        "relationships": (Relationship(source="Ada", type="IN", target="B", properties={"x": "y"}),),
        "extracted": True,
        "embedding": vector_of(f"{memory_id}{version}"),
        "digest": 2**63 - 1 - version,
        "created_at": THEN,
        "updated_at": THEN + timedelta(microseconds=version),
    }
    return Memory(id=memory_id, user_id=user_id, version=version, **{**fields, **given})


async def test_a_memory_arrives_as_it_is(store: VectorStore) -> None:
    """Every field of a memory is what it was: version, times, digest, embedding to the bit, what it says."""
    memories = [a_memory(f"m{i}", user, version=2**53 - 1 - i) for i, user in enumerate(USERS)]
    done = await store.transfer(memories, [], AT_ONCE)
    assert set(done.written) == {Key(m.user_id, m.id) for m in memories}
    assert done.left == ()
    for memory in memories:
        key = Key(memory.user_id, memory.id)
        assert (await store.read([key], embeddings=True))[key].memory == memory
        assert await store.walk(memory.user_id, after=None, limit=9, embeddings=True) == [memory]
        found = await store.search(memory.user_id, vector_of(f"{memory.id}{memory.version}"), limit=1, where=Filter())
        assert found[0][0].id == memory.id
    heads = await store.bucket_rows(None, [EVERYTHING])
    assert {(h.user_id, h.id, h.digest, h.version) for h in heads} == {
        (m.user_id, m.id, m.digest, m.version) for m in memories
    }


async def test_only_what_is_older_gives_way(store: VectorStore) -> None:
    """A memory and a tombstone of any version meet a memory or tombstone of any other: the higher version stays."""
    rng = random.Random(4)
    kept: dict[Key, Memory | Tombstone] = {}
    for round_ in range(12):
        batch: dict[Key, Memory | Tombstone] = {}
        for i in range(40):
            version = rng.randrange(1, 30)
            one = a_memory(f"m{i}", version=version) if rng.random() < 0.5 else Tombstone("ada", f"m{i}", version)
            if rng.random() < 0.7:
                batch[Key("ada", f"m{i}")] = one
        stones = [one for one in batch.values() if isinstance(one, Tombstone)]
        done = await store.transfer([one for one in batch.values() if isinstance(one, Memory)], stones, AT_ONCE)
        newer = {key for key, one in batch.items() if key not in kept or one.version > kept[key].version}
        assert set(done.written) == newer, round_
        assert set(done.left) == batch.keys() - newer
        kept |= {key: batch[key] for key in newer}
        there = await store.read(list(kept), embeddings=True)
        assert {key: truth.memory or truth.tombstone for key, truth in there.items()} == kept
    live = sorted(one.id for one in kept.values() if isinstance(one, Memory))
    assert sorted(head.id for head in await store.bucket_rows("ada", [EVERYTHING])) == live


async def test_a_repeated_transfer_changes_nothing(store: VectorStore) -> None:
    """The same transfer again writes nothing, and lists nothing."""
    memories, stones = [a_memory("m1"), a_memory("m2")], [Tombstone("bob", "m3", 7)]
    first = await store.transfer(memories, stones, AT_ONCE)
    entries = await store.outbox_page(dead=None, after=None, limit=9)
    again = await store.transfer(memories, stones, AT_ONCE)
    assert (again.written, set(again.left)) == ((), set(first.written))
    assert await store.outbox_page(dead=None, after=None, limit=9) == entries
    assert await store.transfer([], [], AT_ONCE) == Transferred((), ())


async def test_what_was_written_is_listed(store: VectorStore) -> None:
    """Each memory and tombstone written has an outbox entry at its version; what was left alone has none."""
    await store.transfer([a_memory("old", version=50)], [], AT_ONCE)
    entries = await store.claim(limit=9, lease=60)
    await store.settle([settlement(entry) for entry in entries])
    await store.transfer([a_memory("m1", version=5), a_memory("old", version=49)], [Tombstone("ada", "m2", 6)], LEASED)
    listed = await store.outbox_page(dead=None, after=None, limit=9)
    assert [(e.id, e.version, e.disabled, e.attempts) for e in listed] == [("m1", 5, False, 0), ("m2", 6, False, 0)]
    assert await store.claim(limit=9, lease=60) == [], "the writer's lease goes on"


async def test_a_transfer_takes_over_the_entry_of_an_older_write(store: VectorStore) -> None:
    """An entry that is there becomes the transfer's, at the new version; whoever had claimed it has lost it."""
    receipt = await store.write(a_write("m1"), AT_ONCE)
    (claimed,) = await store.claim(limit=9, lease=60)
    await store.transfer([a_memory("m1", version=(receipt.version or 0) + 5)], [], AT_ONCE)
    (entry,) = (await store.pending([Key("ada", "m1")])).values()
    assert (entry.version, entry.claim, entry.dead) == ((receipt.version or 0) + 5, 0, False)
    assert entry.entry_id != claimed.entry_id
    assert await store.settle([settlement(claimed)]) == 0


async def test_without_a_graph(store: VectorStore) -> None:
    """A process without a graph lists nothing, unless the truth has one registered: then its entries are disabled."""
    await store.transfer([a_memory("m1")], [Tombstone("ada", "m2", 3)], NO_GRAPH)
    assert (await store.outbox_stats()).pending == 0
    await store.register_graph(GraphIdentity(uuid.uuid4(), "graph"), former=None)
    await store.transfer([a_memory("m3")], [Tombstone("ada", "m4", 3)], NO_GRAPH)
    listed = await store.outbox_page(dead=None, after=None, limit=9)
    assert [(e.id, e.disabled) for e in listed] == [("m1", False), ("m2", False), ("m3", True), ("m4", True)]


async def test_later_writes_get_higher_versions(store: VectorStore) -> None:
    """A write, a delete and a store anew go on above the version that was brought, however far ahead it is."""
    ahead = 2**52
    await store.transfer([a_memory("m1", version=ahead)], [Tombstone("ada", "m2", ahead)], AT_ONCE)
    first = await store.write(a_write("m1"), AT_ONCE)
    second = await store.write(a_write("m2"), AT_ONCE)
    (third,) = await store.delete_many([a_delete("m1")], AT_ONCE)
    assert (first.version, second.version, third.version) == (ahead + 1, ahead + 1, ahead + 2)


async def test_the_floor_is_raised_and_never_lowered(store: VectorStore) -> None:
    """A raised floor is in force for every later write; a lower one changes nothing."""
    high = 2**52
    await store.raise_floor(high)
    await store.raise_floor(high - 5)
    assert (await store.info()).floor == high
    assert (await store.write(a_write("m1"), AT_ONCE)).version == high + 1
    done = await store.transfer([a_memory("m2", version=5)], [], AT_ONCE)
    assert done.written == (Key("ada", "m2"),), "what is brought is older than what the floor is about"


async def test_tombstones_in_key_order(store: VectorStore) -> None:
    """Tombstones come page by page in the order of their keys, of all tenants or of one, and nothing else does."""
    for user in USERS:
        await store.write_many([a_write(f"m{i:02}", user) for i in range(12)], AT_ONCE)
        await store.delete_many([a_delete(f"m{i:02}", user) for i in range(0, 12, 2)], AT_ONCE)
    wanted = [(user, f"m{i:02}") for user in sorted(USERS) for i in range(0, 12, 2)]
    for user_id in (None, *USERS, "nobody"):
        found: list[Tombstone] = []
        after: Key | None = None
        while page := await store.tombstones(user_id, after=after, limit=4):
            found += page
            after = Key(page[-1].user_id, page[-1].id)
        assert [(t.user_id, t.id) for t in found] == [key for key in wanted if user_id in {None, key[0]}]
    there = await store.read([Key(*key) for key in wanted])
    everything = await store.tombstones(None, after=None, limit=1_000)
    assert {Key(t.user_id, t.id): t for t in everything} == {key: truth.tombstone for key, truth in there.items()}


async def test_a_brought_tombstone_is_collected_like_any_other(store: VectorStore) -> None:
    """A settled tombstone that was brought goes when its age has come, which begins when it is brought."""
    await store.transfer([], [Tombstone("ada", "m1", 7)], AT_ONCE)
    await store.settle([settlement(entry) for entry in await store.claim(limit=9, lease=60)])
    assert await store.tombstones_due(age=3_600, limit=9) == []
    due = await store.tombstones_due(age=-1, limit=9)
    assert due == [Tombstone("ada", "m1", 7)]
    assert await store.collect_tombstones(due) == 1
    assert (await store.info()).floor == 7


async def test_the_feed_tells_of_a_transfer(store: VectorStore) -> None:
    """Whoever follows the tenant's changes sees what was brought, however old its version is."""
    await store.write(a_write("m1"), AT_ONCE)
    page = await store.changes("ada", cursor=None, limit=9)
    await store.transfer([a_memory("m2", version=2)], [Tombstone("ada", "m3", 3)], AT_ONCE)
    page = await store.changes("ada", cursor=page.cursor, limit=9)
    assert "m2" in {memory.id for memory in page.memories}
    assert "m3" in {stone.id for stone in page.tombstones}


@pytest.mark.parametrize(
    ("memories", "tombstones", "error"),
    [
        ([a_memory("m1"), a_memory("m1", version=11)], [], InvalidInputError),
        ([a_memory("m1")], [Tombstone("ada", "m1", 5)], InvalidInputError),
        ([a_memory("m1", version=2**53)], [], InvalidInputError),
        ([], [Tombstone("ada", "m1", 0)], InvalidInputError),
        ([a_memory("m1", embedding=None)], [], InvalidInputError),
        ([a_memory("m1", embedding=np.ones(DIMENSION + 1, np.float32))], [], EmbeddingMismatchError),
    ],
)
async def test_what_is_refused(
    store: VectorStore, memories: list[Memory], tombstones: list[Tombstone], error: type[Exception]
) -> None:
    """Keys that come twice, impossible versions, embeddings missing or too long: nothing is written."""
    with pytest.raises(error):
        await store.transfer([a_memory("m0"), *memories], tombstones, AT_ONCE)
    assert await store.read([Key("ada", "m0"), Key("ada", "m1")]) == {}
    assert (await store.outbox_stats()).pending == 0


async def test_many_at_once(store: VectorStore) -> None:
    """A large batch with tombstones among it arrives whole."""
    memories = [a_memory(f"m{i:04}", version=i + 1) for i in range(600)]
    stones = [Tombstone("ada", f"t{i:04}", i + 1) for i in range(300)]
    done = await store.transfer(memories, stones, AT_ONCE)
    assert len(done.written) == 900
    assert await store.walk("ada", after=None, limit=1_000, embeddings=True) == memories
    assert await store.tombstones("ada", after=None, limit=1_000) == stones


async def test_transfers_and_writers_at_once(store: VectorStore, backend: Backend) -> None:
    """Two transfers and a writer on the same memories, at once: in the end each has the highest version of all."""
    other = backend()
    await other.open(model="test", dimension=DIMENSION)
    rng = random.Random(9)

    async def bring(where: VectorStore, versions: list[int]) -> None:
        for version in versions:
            ids = rng.sample(range(20), 20)
            await where.transfer([a_memory(f"m{i}", version=version) for i in ids], [], AT_ONCE)

    async def write() -> dict[str, int]:
        return {f"m{i}": (await store.write(a_write(f"m{i}"), AT_ONCE)).version or 0 for i in range(0, 20, 3)}

    try:
        _, _, written = await asyncio.gather(
            bring(store, list(range(1, 30, 2))), bring(other, list(range(2, 30, 2))), write()
        )
    finally:
        await other.close()
    there = {head.id: head.version for head in await store.bucket_rows("ada", [EVERYTHING])}
    assert there == {f"m{i}": written.get(f"m{i}", 29) for i in range(20)}
    assert len(await store.outbox_page(dead=None, after=None, limit=99)) == 20


async def test_a_tenant_is_a_wall(store: VectorStore) -> None:
    """The same id of another tenant is another memory: it is neither compared nor touched."""
    receipt = await store.write(a_write("m1", "bob"), AT_ONCE)
    await store.transfer([a_memory("m1", version=3)], [], AT_ONCE)
    there = await store.read([Key("ada", "m1"), Key("bob", "m1")])
    assert {key: truth.version for key, truth in there.items()} == {
        Key("ada", "m1"): 3,
        Key("bob", "m1"): receipt.version,
    }
