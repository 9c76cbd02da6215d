"""A truth can do what it says it can; one that does not say so refuses, or is seen not to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import numpy as np
import pytest

from persistence.backends import vector_backend
from persistence.errors import VersionConflictError
from persistence.filters import Filter
from persistence.ports.capabilities import Capability
from persistence.ports.checking import EVERYTHING, summed
from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from tests.contract import second_process
from tests.contract.conftest import Place
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, vector_of


async def made(place: Place) -> VectorStore:
    store = await vector_backend(place.url).make(place.url, second_process.config(place))
    await store.open(model="test", dimension=DIMENSION)
    return store


@pytest.fixture
async def here(place: Place) -> AsyncIterator[VectorStore]:
    """Return the store as a process has it that names it by its URL."""
    store = await made(place)
    yield store
    await store.close()


def require(store: VectorStore, capability: Capability) -> None:
    if capability not in store.capabilities:
        pytest.skip(f"{store.kind} does not claim {capability}: {capability.without}")


async def test_known_before_open(store: VectorStore, backend) -> None:
    """What a store can do does not depend on whether it is open."""
    assert backend().capabilities == store.capabilities
    assert store.capabilities <= frozenset(Capability)


async def test_durable(place: Place) -> None:
    """What a process was acknowledged before it was killed is there afterwards, if and only if that is claimed."""
    assert await second_process.run("truth", place) == {"seen": False}
    store = await made(place)
    try:
        found = await store.read([Key("ada", second_process.SECOND)])
        assert bool(found) == (Capability.DURABLE in store.capabilities)
    finally:
        await store.close()


async def test_shared(place: Place, here: VectorStore) -> None:
    """Two processes see each other's writes, where that is claimed; else the second is refused, or has its own."""
    await here.write(a_write(second_process.FIRST), AT_ONCE)
    said = await second_process.run("truth", place)
    second = bool(await here.read([Key("ada", second_process.SECOND)]))
    if Capability.SHARED in here.capabilities:
        assert (said, second) == ({"seen": True}, True)
    else:
        assert said.get("refused") == "VectorStoreUnavailableError" or said == {"seen": False}
        assert not second


async def test_a_batch_that_fails_in_the_middle(store: VectorStore) -> None:
    """A batch one of whose members is refused leaves nothing of the others, where a batch is atomic."""
    require(store, Capability.ATOMIC_BATCH)
    names = [f"{n:03}" for n in range(100)]
    await store.write_many([a_write(name) for name in names], AT_ONCE)
    deletes = [a_delete(name, expected_version=1 if name == "050" else None) for name in names]
    with pytest.raises(VersionConflictError):
        await store.delete_many(deletes, AT_ONCE)
    assert len(await store.page("ada", after=None, limit=200, where=Filter())) == 100


async def test_a_batch_that_is_cut_off(store: VectorStore) -> None:
    """Of batches cancelled at random (seed 1), each is there whole or not at all, where a batch is atomic."""
    require(store, Capability.ATOMIC_BATCH)
    rng = random.Random(1)
    for number in range(20):
        writes = [a_write(f"{number}-{n}") for n in range(40)]
        task = asyncio.ensure_future(store.write_many(writes, AT_ONCE))
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        found = await store.read([write.key for write in writes])
        assert len(found) in {0, 40}


async def test_a_read_sees_one_moment(store: VectorStore, backend) -> None:
    """A read beside batches that replace what it reads sees each batch whole, where reads are snapshots."""
    require(store, Capability.SNAPSHOT_READS)
    other = backend()
    await other.open(model="test", dimension=DIMENSION)
    names = [f"{n:02}" for n in range(60)]
    keys = [Key("ada", name) for name in names]

    async def rewrite() -> None:
        for number in range(15):
            await other.write_many([a_write(name, content=f"{number}") for name in names], AT_ONCE)

    task = asyncio.ensure_future(rewrite())
    try:
        while not task.done():
            contents = {truth.memory.content for truth in (await store.read(keys)).values()}
            assert len(contents) <= 1
            await asyncio.sleep(0)  # a store in memory answers without giving way
        await task
    finally:
        await asyncio.wait({task})
        await other.close()


async def test_search_with_and_without_an_index(store: VectorStore) -> None:
    """A store has the vector index that it claims; without one it says so, and finds exactly the nearest."""
    indexed = Capability.VECTOR_INDEX in store.capabilities
    assert (await store.info()).vector_index == ("present" if indexed else "none")
    if indexed:
        return
    names = [f"{n:03}" for n in range(300)]
    await store.write_many([a_write(name) for name in names], AT_ONCE)
    vectors = np.stack([vector_of(name) for name in names]).astype(np.float64)
    nearest = np.argsort(-(vectors @ vector_of("q")) / np.linalg.norm(vectors, axis=1))[:50]
    found = await store.search("ada", vector_of("q"), limit=50, where=Filter())
    assert [memory.id for memory, _ in found] == [names[n] for n in nearest]


async def test_sums(store: VectorStore) -> None:
    """A store that claims to sum answers what its rows add up to."""
    require(store, Capability.AGGREGATES)
    await store.write_many([a_write(f"{n}") for n in range(50)], AT_ONCE)
    rows = await store.bucket_rows("ada", [EVERYTHING])
    assert await store.bucket_sums("ada", EVERYTHING, bits=0) == {0: summed(rows)}
