"""One suite for every vector store: a new backend is one fixture here, and its name in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from persistence.ports.vector import VectorStore
from persistence.vector.memory import FileStorage, MemoryStore, Storage
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.sqlite import SqliteStore
from tests.contract.vector.making import DIMENSION

BACKENDS = ["pgvector", "sqlite", "memory", "file"]

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
