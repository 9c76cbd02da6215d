"""What holds together on Qdrant when others come in between: each request of a store may be followed by another's."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from qdrant_client import AsyncQdrantClient

from persistence.errors import OutcomeUnknownError, VectorStoreConflictError, VersionConflictError
from persistence.ports.checking import Doubt
from persistence.ports.outbox import Key, Postponement
from persistence.ports.vector import GraphIdentity, Tombstone, WriteMode, WriteReceipt
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.engine import Change, Fields, Found
from persistence.vector.qdrant.layout import INFO, memory_point
from persistence.vector.qdrant.remote import RemoteEngine
from tests.contract.vector.making import AT_ONCE, DIMENSION, LEASED, NO_GRAPH, a_delete, a_write, settlement

A = Key("ada", "a")


class Interleaved(RemoteEngine):
    """The server's adapter, whose requests let others come in between, at random (seed 5); a test may plant one."""

    def __init__(self) -> None:
        super().__init__(lambda: AsyncQdrantClient(":memory:"))
        self._random = random.Random(5)
        self.before_change: Callable[[], object] | None = None
        self.after_change: Callable[[], object] | None = None

    async def change(self, collection: str, *changes: Change) -> None:
        await self._others(self.before_change)
        await super().change(collection, *changes)
        await self._others(self.after_change)

    async def get(
        self, collection: str, ids: Sequence[str], fields: Fields = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        await self._others(None)
        return await super().get(collection, ids, fields, vectors=vectors)

    async def _others(self, planted: Callable[[], object] | None) -> None:
        if planted is not None:
            self.before_change = self.after_change = None
            await planted()
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)


@pytest.fixture
def engine() -> Interleaved:
    return Interleaved()


@pytest.fixture
async def stores(engine: Interleaved) -> AsyncIterator[list[QdrantStore]]:
    """Return four stores on one server, as four processes have them."""
    async with AsyncExitStack() as stack:
        opened = [QdrantStore(engine) for _ in range(4)]
        for store in opened:
            stack.push_async_callback(store.close)
        await asyncio.gather(*(store.open(model="test", dimension=DIMENSION) for store in opened))
        yield opened


async def test_writers_of_one_memory(stores: list[QdrantStore]) -> None:
    """Of writers at once each that is acknowledged has a version of its own, and the highest one is what is there."""
    writes = [a_write("a", content=str(i)) for i in range(12)]
    answers = await asyncio.gather(
        *(stores[i % 4].write(write, AT_ONCE) for i, write in enumerate(writes)), return_exceptions=True
    )
    won = {a.version: w for a, w in zip(answers, writes, strict=True) if isinstance(a, WriteReceipt)}
    assert all(isinstance(a, WriteReceipt | VectorStoreConflictError) for a in answers)
    assert len(won) == sum(isinstance(a, WriteReceipt) for a in answers) > 1
    last = (await stores[0].read([A]))[A].memory
    assert last is not None
    assert (max(won), won[max(won)].content) == (last.version, last.content)
    assert (await stores[0].pending([A]))[A].entry_id == won[max(won)].write_id


async def test_an_insert_is_won_by_one(stores: list[QdrantStore]) -> None:
    """Of many that store what is not there and would leave it alone, one writes and the others find its memory."""
    writes = [a_write("a", mode=WriteMode.KEEP_ANY) for _ in range(8)]
    receipts = await asyncio.gather(*(stores[i % 4].write(write, AT_ONCE) for i, write in enumerate(writes)))
    assert sorted(receipt.status for receipt in receipts) == ["exists"] * 7 + ["written"]
    assert len({receipt.version for receipt in receipts}) == 1


async def test_an_expected_version_is_met_once(stores: list[QdrantStore]) -> None:
    """Of many that change the same version, one is acknowledged and the others are told which version is there."""
    first = await stores[0].write(a_write("a"), AT_ONCE)
    writes = [a_write("a", mode=WriteMode.UPDATE, expected_version=first.version) for _ in range(8)]
    answers = await asyncio.gather(
        *(stores[i % 4].write(write, AT_ONCE) for i, write in enumerate(writes)), return_exceptions=True
    )
    assert sum(isinstance(answer, WriteReceipt) for answer in answers) == 1
    assert sum(isinstance(answer, VersionConflictError) for answer in answers) == 7


async def test_batches_at_once(stores: list[QdrantStore]) -> None:
    """Batches that share memories, in any order: each receipt's version was written, and the highest one is there."""
    rng = random.Random(3)
    batches = [[a_write(f"{i}", content=f"{n}") for i in rng.sample(range(40), 30)] for n in range(6)]
    answers = await asyncio.gather(*(stores[n % 4].write_many(batch, AT_ONCE) for n, batch in enumerate(batches)))
    highest: dict[str, tuple[int, str]] = {}
    for batch, receipts in zip(batches, answers, strict=True):
        for write, receipt in zip(batch, receipts, strict=True):
            highest[write.id] = max(highest.get(write.id, (0, "")), (receipt.version, write.content))
    found = await stores[0].read([Key("ada", name) for name in highest])
    assert highest == {key.id: (truth.memory.version, truth.memory.content) for key, truth in found.items()}


async def test_a_write_that_was_overtaken_is_a_write(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A write that another one replaced before it was read back is acknowledged, and is not written again."""
    newer = a_write("a", content="newer")
    engine.after_change = lambda: stores[1].write(newer, AT_ONCE)
    receipt = await stores[0].write(a_write("a", content="older"), AT_ONCE)
    memory = (await stores[0].read([A]))[A].memory
    assert (memory.content, memory.version > receipt.version) == ("newer", True)


async def test_a_floor_that_was_raised_meanwhile(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A memory that lived, died and was collected while its first write was under way is written above all that."""
    versions = []

    async def a_life() -> None:
        await stores[1].write(a_write("a", above=2**52), AT_ONCE)
        (gone,) = await stores[1].delete_many([a_delete("a")], AT_ONCE)
        await stores[1].settle([settlement(entry) for entry in (await stores[1].pending([A])).values()])
        assert await stores[1].collect_tombstones([Tombstone("ada", "a", gone.version)]) == 1
        versions.append(gone.version)

    engine.before_change = a_life
    receipt = await stores[0].write(a_write("a"), AT_ONCE)
    assert receipt.version > versions[0]
    assert (await stores[0].read([A]))[A].version == receipt.version


async def test_a_graph_that_is_registered_meanwhile(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A write that saw no graph is listed all the same, where one was registered before it was done."""
    engine.before_change = lambda: stores[1].register_graph(GraphIdentity(uuid.uuid4(), "db"), former=None)
    receipt = await stores[0].write(a_write("a"), NO_GRAPH)
    assert receipt.tracked
    assert (await stores[0].pending([A]))[A].disabled


async def test_a_listing_that_was_cut_off_goes_on(stores: list[QdrantStore], engine: Interleaved) -> None:
    """Who dies while everything is listed for a new graph leaves a mark, and whoever opens the store lists the rest."""
    await stores[0].write_many([a_write(name) for name in "abc"], NO_GRAPH)

    async def die() -> None:
        raise OutcomeUnknownError

    engine.after_change = die
    with pytest.raises(OutcomeUnknownError):
        await stores[0].register_graph(GraphIdentity(uuid.uuid4(), "db"), former=None)
    assert await stores[0].outbox_page(dead=None, after=None, limit=9) == []
    another = QdrantStore(engine)
    await another.open(model="test", dimension=DIMENSION)
    try:
        assert {entry.id for entry in await another.claim(limit=9, lease=60)} == {"a", "b", "c"}
    finally:
        await another.close()


async def test_who_dies_after_a_write_has_listed_it(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A memory, and likewise a tombstone, is there with its entry from its first operation on."""

    async def die() -> None:
        raise OutcomeUnknownError

    calls = [
        lambda: stores[0].write(a_write("a"), AT_ONCE),
        lambda: stores[0].write_many([a_write("a"), a_write("b")], AT_ONCE),
        lambda: stores[0].delete_many([a_delete("a"), a_delete("b")], AT_ONCE),
    ]
    for call in calls:
        engine.after_change = die
        with pytest.raises(OutcomeUnknownError):
            await call()
        there = await stores[1].read([A, Key("ada", "b")])
        listed = await stores[1].pending(list(there))
        assert {key: truth.version for key, truth in there.items()} == {key: e.version for key, e in listed.items()}
    assert [truth.memory for truth in there.values()] == [None, None]


async def test_the_last_of_a_batch_is_lost(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A batch whose answer was lost is done once when it is sent again."""

    async def die() -> None:
        raise OutcomeUnknownError

    batch = [a_write(name) for name in "abc"]
    engine.after_change = die
    with pytest.raises(OutcomeUnknownError):
        await stores[0].write_many(batch, AT_ONCE)
    before = {key: truth.version for key, truth in (await stores[0].read([w.key for w in batch])).items()}
    again = await stores[1].write_many(batch, AT_ONCE)
    assert list(before.values()) == [receipt.version for receipt in again]


async def test_claimers_at_once(stores: list[QdrantStore]) -> None:
    """Of many claimers, whose requests cross, each entry has one, and only that one can give it back."""
    await stores[0].write_many([a_write(str(i)) for i in range(60)], AT_ONCE)
    rounds = await asyncio.gather(*(stores[i % 4].claim(limit=25, lease=60) for i in range(8)))
    claimed = [entry.id for entries in rounds for entry in entries]
    assert len(claimed) == len(set(claimed)) > 0


async def test_a_settled_entry_is_not_a_new_one(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A write that comes between an entry and its settling keeps its own entry."""
    await stores[0].write(a_write("a"), AT_ONCE)
    (entry,) = await stores[0].claim(limit=1, lease=60)
    newer = a_write("a")
    engine.before_change = lambda: stores[1].write(newer, AT_ONCE)
    assert await stores[0].settle([settlement(entry)]) == 0
    assert (await stores[0].pending([A]))[A].entry_id == newer.write_id


async def test_an_entry_that_was_claimed_anew_is_not_given_back(stores: list[QdrantStore], engine: Interleaved) -> None:
    """Who gives an entry back after its lease was over leaves it to whoever claims it meanwhile."""
    await stores[0].write(a_write("a"), AT_ONCE)
    (entry,) = await stores[0].claim(limit=1, lease=0)
    engine.before_change = lambda: stores[1].claim(limit=1, lease=60)
    late = Postponement("ada", "a", entry.entry_id, entry.claim, delay=0.0, reason="late")
    assert await stores[0].postpone([late]) == 0
    now = (await stores[0].pending([A]))[A]
    assert (now.attempts, now.reason, await stores[0].claim(limit=1, lease=60)) == (2, None, [])


async def test_a_released_entry_is_not_a_new_one(stores: list[QdrantStore]) -> None:
    """Who releases an entry that a newer write replaced leaves that write its lease."""
    await stores[0].write(a_write("a"), LEASED)
    former = (await stores[0].pending([A]))[A]
    await stores[1].write(a_write("a"), LEASED)
    await stores[0].release([settlement(former)])
    assert await stores[0].claim(limit=1, lease=60) == []


async def test_what_is_written_meanwhile_gets_no_tombstone(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A memory that is stored while it is listed as one that truth knows nothing of stays live, with its own entry."""
    write = a_write("a")
    engine.before_change = lambda: stores[1].write(write, AT_ONCE)
    assert await stores[0].enlist([Doubt("ada", "a", 2**52)], lease=60) == []
    assert (await stores[0].read([A]))[A].memory is not None
    assert (await stores[0].pending([A]))[A].entry_id == write.write_id


async def test_a_store_after_a_delete_is_above_its_tombstone(stores: list[QdrantStore]) -> None:
    """A memory stored anew is above its tombstone, though the clock is behind it and the floor was not raised."""
    await stores[0].write(a_write("a"), AT_ONCE)
    (gone,) = await stores[0].delete_many([replace(a_delete("a"), above=2**52)], AT_ONCE)
    receipt = await stores[1].write(a_write("a"), AT_ONCE)
    assert receipt.version > gone.version > 2**52


async def test_a_tombstone_that_lives_again_is_not_collected(stores: list[QdrantStore], engine: Interleaved) -> None:
    """A memory that was stored anew while its tombstone was being collected stays."""
    await stores[0].write(a_write("a"), NO_GRAPH)
    (gone,) = await stores[0].delete_many([a_delete("a")], NO_GRAPH)
    engine.before_change = lambda: stores[1].write(a_write("a"), NO_GRAPH)
    assert await stores[0].collect_tombstones([Tombstone("ada", "a", gone.version)]) == 0
    assert (await stores[0].read([A]))[A].memory is not None


async def test_nothing_meets_the_stores_own_point(stores: list[QdrantStore], engine: Interleaved) -> None:
    """The point that says what the store is has no tenant, and no memory has its id."""
    await stores[0].write(a_write("a"), AT_ONCE)
    found = await engine.get("diptych", [INFO, memory_point(A)])
    assert "user_id" not in found[INFO].payload
    assert (await stores[0].count(None)).value == 1
