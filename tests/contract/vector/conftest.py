"""One suite for every vector store: a new backend is one fixture here, and its name in BACKENDS."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from persistence.ports.vector import VectorStore
from persistence.vector.memory import FileStorage, MemoryStore, Storage
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.qdrant.remote import RemoteEngine, connector
from persistence.vector.sqlite import SqliteStore
from tests.conftest import run_now
from tests.contract.vector.making import DIMENSION

BACKENDS = ["pgvector", "qdrant_embedded", "qdrant_client", "sqlite", "memory", "file"]

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


@pytest.fixture(scope="session")
def qdrant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the embedded engine whose collections are made, which takes a second."""
    folder = tmp_path_factory.mktemp("qdrant")

    async def made() -> None:
        store = QdrantStore(EmbeddedEngine(folder))
        await store.open(model="test", dimension=DIMENSION)
        await store.close()

    run_now(made)
    return folder


def copy_with_holes(source: str, target: str) -> None:
    """Copy a file without filling its holes: a folder of the engine is 370 MB long, and holds one."""
    with Path(source).open("rb") as old, Path(target).open("wb") as new:
        size, end = os.fstat(old.fileno()).st_size, 0
        while end < size:
            try:
                start = os.lseek(old.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            new.seek(start)
            new.write(os.pread(old.fileno(), end - start, start))
        new.truncate(size)


@pytest.fixture
def qdrant_embedded(tmp_path: Path, qdrant_folder: Path) -> Iterator[Backend]:
    """Make stores on the real engine in this process; those of a test share it, as no second process could."""
    folder = shutil.copytree(qdrant_folder, tmp_path / "qdrant", copy_function=copy_with_holes)
    engine = EmbeddedEngine(folder)
    yield lambda: QdrantStore(engine)
    shutil.rmtree(folder)


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
