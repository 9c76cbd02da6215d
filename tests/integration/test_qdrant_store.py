"""What is Qdrant's alone: what is refused at open, embeddings as they were, a folder for one process, kill -9."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models

from persistence.errors import (
    ConfigurationError,
    EmbeddingMismatchError,
    SchemaMissingError,
    SchemaTooNewError,
    VectorStoreUnavailableError,
)
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.vector.qdrant import QdrantStore, make
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.qdrant.engine import Put
from persistence.vector.qdrant.layout import INFO, memory_point
from persistence.vector.qdrant.remote import RemoteEngine
from persistence.vector.qdrant.terms import Ids
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write, vector_of

WRITER = """
import asyncio, json, sys
from persistence.vector.qdrant import make
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write

async def main():
    store = make(sys.argv[1])
    await store.open(model="test", dimension=DIMENSION)
    for number in range(100_000):
        if number % 3:
            receipts = [await store.write(a_write(f"{number}"), AT_ONCE)]
        else:
            receipts = await store.write_many([a_write(f"{number}-{i}") for i in range(20)], AT_ONCE)
        print(json.dumps([number, [receipt.version for receipt in receipts]]), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def client() -> AsyncQdrantClient:
    return AsyncQdrantClient(":memory:")


@pytest.fixture
async def engine(client: AsyncQdrantClient) -> AsyncIterator[RemoteEngine]:
    """Return an open engine on an imitation of a server that holds nothing."""
    engine = RemoteEngine(lambda: client)
    await engine.open()
    yield engine
    await engine.close()


async def opened(engine: RemoteEngine, model: str = "test", dimension: int = DIMENSION) -> None:
    store = QdrantStore(engine)
    try:
        await store.open(model=model, dimension=dimension)
    finally:
        await store.close()


@pytest.mark.parametrize(("model", "dimension"), [("another", DIMENSION), ("test", DIMENSION + 1)])
async def test_another_model(engine: RemoteEngine, model: str, dimension: int) -> None:
    """A store of another model or dimension is refused, and stays what it is."""
    await opened(engine)
    with pytest.raises(EmbeddingMismatchError):
        await opened(engine, model, dimension)
    await opened(engine)


@pytest.mark.parametrize("distance", [models.Distance.COSINE, models.Distance.DOT])
async def test_a_foreign_collection(engine: RemoteEngine, client: AsyncQdrantClient, distance: models.Distance) -> None:
    """A collection with points that are not ours, or with another distance, is refused and left as it is."""
    shape = models.VectorParams(size=DIMENSION, distance=distance)
    await client.create_collection("diptych", vectors_config=shape)
    if distance is models.Distance.DOT:
        await client.upsert("diptych", [models.PointStruct(id=1, vector=[1.0] * DIMENSION)])
    with pytest.raises(ConfigurationError):
        await opened(engine)
    assert (await client.get_collections()).collections == [models.CollectionDescription(name="diptych")]


async def test_a_collection_that_was_made_by_half(engine: RemoteEngine, client: AsyncQdrantClient) -> None:
    """Where somebody died while making the collections, the next one goes on."""
    shape = models.VectorParams(size=DIMENSION, distance=models.Distance.DOT)
    await client.create_collection("diptych", vectors_config=shape)
    await opened(engine)


async def test_a_layout_of_the_future(engine: RemoteEngine) -> None:
    """A store to which a newer diptych has only added is used; one that it has changed is refused, and says so."""
    await opened(engine)
    await engine.change("diptych", Put([Ids([INFO])], {"schema_version": 99}))
    await opened(engine)
    assert (await QdrantStore(engine).schema_state()).usable
    await engine.change("diptych", Put([Ids([INFO])], {"schema_needs": 98}))
    with pytest.raises(SchemaTooNewError, match="version 99"):
        await opened(engine)
    assert (await QdrantStore(engine).schema_state()).too_new


async def test_a_store_that_may_not_be_made(engine: RemoteEngine) -> None:
    """Without leave to make collections, a missing store is an error, and nothing is made."""
    with pytest.raises(SchemaMissingError):
        await QdrantStore(engine, auto_upgrade=False).open(model="test", dimension=DIMENSION)
    assert await engine.shape("diptych") is None
    state = await QdrantStore(engine).schema_state()
    assert (state.version, state.known) == (0, 1)


async def test_an_old_server(client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes no conditional upserts is refused, and the error says its version and which is needed."""

    async def old() -> models.VersionInfo:
        return models.VersionInfo(title="qdrant", version="1.15.4")

    monkeypatch.setattr(client, "info", old)
    with pytest.raises(ConfigurationError, match=r"1\.15\.4.*1\.16"):
        await opened(RemoteEngine(lambda: client))


async def test_nobody_answers() -> None:
    """Where no server answers, the store is unavailable, and can be closed."""
    store = make("qdrant://127.0.0.1:1", timeout=2)
    with pytest.raises(VectorStoreUnavailableError):
        await store.open(model="test", dimension=DIMENSION)
    await store.close()


@pytest.mark.parametrize("url", ["qdrant://", "qdrant:///", "qdrant://host:x", "qdrant://host/name?shards=2"])
def test_urls_that_name_nothing(url: str) -> None:
    """A URL without a host and a folder, with a port that is none, or with an unknown option is refused."""
    with pytest.raises(ConfigurationError):
        make(url)


@pytest.mark.parametrize("length", [1e-10, 1.0, 1.0000004, 7.0, 1e10])
async def test_embeddings_come_back_as_they_were(tmp_path: Path, length: float) -> None:
    """An embedding of whatever length comes back bit by bit, and its score is the cosine."""
    unit = vector_of("a").astype(np.float64)
    embedding = (unit / np.linalg.norm(unit) * length).astype(np.float32)
    store = make(f"qdrant://{tmp_path}")
    await store.open(model="test", dimension=DIMENSION)
    try:
        await store.write(a_write("a", embedding=embedding), AT_ONCE)
        memory = (await store.read([Key("ada", "a")], embeddings=True))[Key("ada", "a")].memory
        assert memory.embedding.tobytes() == embedding.tobytes()
        ((_, score),) = await store.search("ada", embedding, limit=1, where=Filter())
        assert score == pytest.approx(1.0, abs=1e-6)
    finally:
        await store.close()


async def test_a_unit_vector_is_stored_once() -> None:
    """An embedding of length 1, which most models give, is not stored a second time in the payload."""
    engine = RemoteEngine(lambda: AsyncQdrantClient(":memory:"))
    store = QdrantStore(engine)
    await store.open(model="test", dimension=DIMENSION)
    try:
        embedding = np.zeros(DIMENSION, dtype=np.float32)
        embedding[0] = 1
        await store.write_many([a_write("a", embedding=embedding), a_write("b")], AT_ONCE)
        ids = [memory_point(Key("ada", name)) for name in "ab"]
        found = await engine.get("diptych", ids)
        assert ["embedding" in found[point].payload for point in ids] == [False, True]
    finally:
        await store.close()


async def test_a_folder_that_is_open(tmp_path: Path) -> None:
    """A folder that another engine has open is refused; when that one has closed it, it can be had."""
    first, second = make(f"qdrant://{tmp_path}"), make(f"qdrant://{tmp_path}")
    await first.open(model="test", dimension=DIMENSION)
    with pytest.raises(VectorStoreUnavailableError, match="open"):
        await second.open(model="test", dimension=DIMENSION)
    await first.close()
    await second.open(model="test", dimension=DIMENSION)
    await second.close()


async def test_a_cancelled_write_leaves_no_thread_behind(tmp_path: Path) -> None:
    """A write that is cancelled is done as a whole or not at all, and the store goes on and can be closed."""
    engine = EmbeddedEngine(tmp_path / "folder")
    store = QdrantStore(engine)
    await store.open(model="test", dimension=DIMENSION)
    for number in range(20):
        batch = [a_write(f"{number}-{i}") for i in range(50)]
        task = asyncio.create_task(store.write_many(batch, AT_ONCE))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.write(a_write("after"), AT_ONCE)
        found = await store.read([write.key for write in batch])
        assert len(found) in (0, 50)
        assert len(await store.pending([write.key for write in batch])) == len(found)
    await store.close()


@pytest.mark.parametrize("acknowledged", [1, 40])
def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    """After kill -9 every acknowledged memory is there with its entry, and no batch is there by half."""
    url = f"qdrant://{tmp_path / 'folder'}"
    lines = []
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            lines.append(json.loads(line))
            if len(lines) == acknowledged:
                writer.send_signal(signal.SIGKILL)
    asyncio.run(all_there(url, lines))


async def all_there(url: str, lines: list[tuple[int, list[int]]]) -> None:
    """Assert that every line's memories are there at their versions, and listed."""
    store = make(url)
    await store.open(model="test", dimension=DIMENSION)
    try:
        for number, versions in lines:
            names = [f"{number}"] if number % 3 else [f"{number}-{i}" for i in range(20)]
            keys = [Key("ada", name) for name in names]
            found = await store.read(keys)
            assert versions == [found[key].version for key in keys]
            assert set(keys) == set(await store.pending(keys))
        last = max(number for number, _ in lines)
        for number in range(last + 1, last + 4):
            half = await store.read([Key("ada", f"{number}-{i}") for i in range(20)])
            assert len(half) in (0, 20)
    finally:
        await store.close()


async def test_a_batch_larger_than_a_request(engine: RemoteEngine, client: AsyncQdrantClient) -> None:
    """A batch of long vectors goes in several requests, none above what a server takes, and comes back whole."""
    dimension, sent = 3_072, []
    send = client.batch_update_points

    async def counted(collection: str, operations: list[models.UpdateOperation], **given: object) -> object:
        sent.append(sum(len(operation.model_dump_json()) for operation in operations))
        return await send(collection, operations, **given)

    store = QdrantStore(engine)
    await store.open(model="test", dimension=dimension)
    try:
        client.batch_update_points = counted
        writes = [a_write(f"{i}", embedding=vector_of(f"{i}", dimension)) for i in range(300)]
        receipts = await store.write_many(writes, AT_ONCE)
        found = await store.read([write.key for write in writes])
        assert [receipt.version for receipt in receipts] == [found[write.key].version for write in writes]
        assert len(sent) > 1
        assert max(sent) < 16 * 2**20
    finally:
        await store.close()
