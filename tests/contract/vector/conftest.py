"""One suite for every vector store: a new backend is two fixtures here, and its name in BACKENDS."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
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
from persistence.vector.qdrant.remote import RemoteEngine, connector
from persistence.vector.sqlite import SqliteStore
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
def qdrant_client() -> Backend:
    """Make stores on a real server where there is one, else on the client's own imitation of it."""
    url = os.environ.get("DIPTYCH_TEST_QDRANT_URL") or os.environ.get("QDRANT_URL")
    if url:
        connect = connector(url, api_key=os.environ.get("QDRANT_API_KEY"), timeout=30)
        collection = f"test_{uuid.uuid4().hex[:16]}"
        return lambda: QdrantStore(RemoteEngine(connect), collection=collection)
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
def qdrant_client_place() -> Place:
    url = os.environ.get("DIPTYCH_TEST_QDRANT_URL") or os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("There is no Qdrant server; set DIPTYCH_TEST_QDRANT_URL.")
    return Place(url, f"test_{uuid.uuid4().hex[:16]}")


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
