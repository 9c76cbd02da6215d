"""Opening, closing, identity, bulk loads."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from persistence.errors import EmbeddingMismatchError, VectorStoreUnavailableError
from persistence.filters import Filter
from persistence.ports.capabilities import Capability
from persistence.ports.vector import GraphIdentity, VectorStore
from tests.contract.vector.conftest import Backend
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write, vector_of


async def test_info(store: VectorStore) -> None:
    """A store knows its model, its dimension, and that it has its vector index, or none."""
    info = await store.info()
    assert (info.embedding_model, info.dimension, info.floor, info.graph) == ("test", DIMENSION, 0, None)
    assert info.vector_index in {"present", "none"}
    assert await store.ping()
    assert store.kind


async def test_open_again(store: VectorStore, backend: Backend) -> None:
    """A second process finds the same store; another model or dimension is refused before anything is written."""
    other = backend()
    try:
        assert await store.info() == await other.open(model="test", dimension=DIMENSION)
        await other.close()
        with pytest.raises(EmbeddingMismatchError):
            await other.open(model="another", dimension=DIMENSION)
        with pytest.raises(EmbeddingMismatchError):
            await other.open(model="test", dimension=DIMENSION + 1)
    finally:
        await other.close()


async def test_close(backend: Backend) -> None:
    """A store can be closed twice, unopened too; it is not usable then, and says so by type."""
    store = backend()
    await store.close()
    with pytest.raises(VectorStoreUnavailableError):
        await store.ping()
    await store.open(model="test", dimension=DIMENSION)
    await store.close()
    await store.close()
    with pytest.raises(VectorStoreUnavailableError):
        await store.write(a_write("a"), AT_ONCE)


async def test_opened_by_many_at_once(backend: Backend) -> None:
    """Many processes that open an empty storage at once find one store."""
    stores = [backend() for _ in range(4)]
    try:
        infos = await asyncio.gather(*(store.open(model="test", dimension=DIMENSION) for store in stores))
        assert len({info.store_id for info in infos}) == 1
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def test_the_graph_of_a_truth(store: VectorStore) -> None:
    """The first graph is recorded, and another only where the one recorded is the former one."""
    first, second, third = (GraphIdentity(uuid.uuid4(), name) for name in ("one", "two", "three"))
    assert first == await store.register_graph(first, former=None)
    assert first == await store.register_graph(second, former=None)
    assert first == await store.register_graph(second, former=third)
    assert second == await store.register_graph(second, former=first)
    assert (await store.info()).graph == second


async def require_index(store: VectorStore) -> None:
    if Capability.VECTOR_INDEX not in store.capabilities:
        pytest.skip(f"{store.kind} searches exactly, without a vector index that could be put off")


async def test_a_load_without_an_index(store: VectorStore) -> None:
    """Where there is no vector index, none is put off, and ending a load changes nothing."""
    if Capability.VECTOR_INDEX in store.capabilities:
        pytest.skip(f"{store.kind} has a vector index")
    assert not await store.begin_load()
    await store.end_load()
    assert (await store.info()).vector_index == "none"


async def test_a_load(store: VectorStore, backend: Backend) -> None:
    """An empty store puts its vector index off for one loader, is searched without it, and has it at the end."""
    await require_index(store)
    other = backend()
    await other.open(model="test", dimension=DIMENSION)
    try:
        assert await store.begin_load()
        assert not await other.begin_load()
        assert (await store.info()).vector_index == "missing"
        await store.write_many([a_write(f"{i:03}") for i in range(300)], AT_ONCE)
        assert len(await other.search("ada", vector_of("q"), limit=5, where=Filter())) == 5
        await other.end_load()
        assert (await store.info()).vector_index == "missing", "it is not the other's to end"
        await store.end_load()
        assert (await other.info()).vector_index == "present"
        assert len(await other.search("ada", vector_of("q"), limit=5, where=Filter())) == 5
        assert not await other.begin_load(), "the store is not empty any more"
    finally:
        await other.close()


async def test_a_load_that_died(store: VectorStore, backend: Backend) -> None:
    """A load that was not ended leaves the index missing; another loader goes on, and its end builds it."""
    await require_index(store)
    died = backend()
    await died.open(model="test", dimension=DIMENSION)
    assert await died.begin_load()
    await died.write_many([a_write("a")], AT_ONCE)
    await died.close()
    assert (await store.info()).vector_index == "missing"
    assert await store.begin_load()
    await store.end_load()
    assert (await store.info()).vector_index == "present"


async def test_end_of_no_load(store: VectorStore) -> None:
    """Ending a load that was never begun changes nothing."""
    before = await store.info()
    await store.end_load()
    assert await store.info() == before
