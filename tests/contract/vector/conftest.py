"""One suite for every vector store: a new backend is two fixtures here, and its name in BACKENDS."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from persistence.backends import VECTOR_GROUP
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig
from persistence.vector.memory import FileStorage, MemoryStore, Storage
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.qdrant.remote import Connect, RemoteEngine, connector
from persistence.vector.sqlite import SqliteStore
from tests.conftest import run_now
from tests.contract.conftest import Place
from tests.contract.vector.making import DIMENSION, IN_MEMORY

BACKENDS = ["pgvector", "qdrant_embedded", "qdrant_client", "sqlite", "memory", "file", "theirs"]

#: Makes a store, not yet open; each call returns another one on the same storage, which is the test's own.
Backend = Callable[[], VectorStore]


@pytest.fixture
def pgvector(postgres_url: str, pg_schema: str) -> Backend:
    return lambda: PgVectorStore(postgres_url, schema=pg_schema)


@pytest.fixture
def memory() -> Backend:
    storage = Storage()
    return lambda: MemoryStore(storage)


@pytest.fixture
def file(tmp_path: Path) -> Backend:
    storage = FileStorage(tmp_path / "store")
    return lambda: MemoryStore(storage)


@pytest.fixture
def sqlite(tmp_path: Path) -> Backend:
    return lambda: SqliteStore(tmp_path / "truth.db")


@pytest.fixture
def qdrant_embedded() -> Iterator[Backend]:
    """Make stores on the real engine in this process; those of a test share it, as no second process could."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        engine = EmbeddedEngine(Path(folder) / "qdrant")
        yield lambda: QdrantStore(engine)


@pytest.fixture
def qdrant_collection(qdrant_url: str | None) -> Iterator[str]:
    """Return a name for collections that are this test's alone; what was made under it is removed afterwards."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    yield name
    if qdrant_url is not None:
        run_now(partial(_remove, qdrant_url, name))


async def _remove(url: str, name: str) -> None:
    client = _connect(url)()
    for collection in (name, f"{name}_runs"):
        await client.delete_collection(collection)
    await client.close()


def _connect(url: str) -> Connect:
    return connector(url, api_key=os.environ.get("QDRANT_API_KEY"), timeout=30)


@pytest.fixture
def qdrant_client(qdrant_url: str | None, qdrant_collection: str) -> Backend:
    """Make stores on a real server where there is one, else on the client's own imitation of it."""
    if qdrant_url is not None:
        return lambda: QdrantStore(RemoteEngine(_connect(qdrant_url)), collection=qdrant_collection)
    engine = RemoteEngine(lambda: AsyncQdrantClient(":memory:"))
    return lambda: QdrantStore(engine)


@pytest.fixture
def theirs(theirs_installed: tuple[str, ...], tmp_path: Path) -> Backend:
    (entry,) = entry_points(group=VECTOR_GROUP, name="theirs")
    return lambda: entry.load()(f"theirs://{tmp_path.name}", PersistenceConfig())


@pytest.fixture
def pgvector_place(postgres_url: str, pg_schema: str) -> Place:
    return Place(postgres_url, pg_schema)


@pytest.fixture
def qdrant_embedded_place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Place(f"qdrant://{folder}/qdrant")


@pytest.fixture
def qdrant_client_place(qdrant_url: str | None, qdrant_collection: str) -> Place:
    if qdrant_url is None:
        pytest.skip("There is no Qdrant server: neither QDRANT_URL, nor the program on the PATH, nor Docker.")
    return Place(qdrant_url, qdrant_collection)


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path / 'truth.db'}")


@pytest.fixture
def memory_place() -> Place:
    return Place("memory://")


@pytest.fixture
def file_place(tmp_path: Path) -> Place:
    return Place((tmp_path / "store").as_uri())


@pytest.fixture
def theirs_place(theirs_installed: tuple[str, ...], tmp_path: Path) -> Place:
    return Place(f"theirs://{tmp_path.name}", path=theirs_installed)


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Place:
    """Return where each backend's store is, by URL: for tests with a second process."""
    return request.getfixturevalue(f"{request.param}_place")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[VectorStore]:
    """Return an empty store, open."""
    store = backend()
    try:
        await store.open(model="test", dimension=DIMENSION)
        yield store
    finally:
        await store.close()
