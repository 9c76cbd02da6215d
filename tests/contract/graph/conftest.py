"""Every graph under one suite: a new backend is two more fixtures and one more name in ``BACKENDS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence.backends import graph_backend
from persistence.graph.memory import FileGraph, MemoryGraph
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.postgres import PostgresGraph
from persistence.ports.graph import GraphStore, GraphWrite
from persistence.projection import bucket, project
from persistence.records import Memory
from persistence.settings import PersistenceConfig
from tests.contract.conftest import Place

BACKENDS = ("memory_graph", "file_graph", "neo4j_graph", "postgres_graph", "theirs_graph")
CREATED = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)

Named = tuple[str, str] | tuple[str, str, Mapping[str, Any]]
Stated = tuple[str, str, str] | tuple[str, str, str, Mapping[str, Any]]


def say_write(
    memory_id: str,
    version: int,
    entities: Iterable[Named] = (),
    relations: Iterable[Stated] = (),
    *,
    user: str = "u1",
    text: str = "a text",
    force: bool = False,
    **more: Any,
) -> GraphWrite:
    memory = Memory(
        id=memory_id,
        user_id=user,
        content=text,
        entities=[{"name": e[0], "type": e[1], "properties": dict(*e[2:])} for e in entities],
        relationships=[{"source": r[0], "type": r[1], "target": r[2], "properties": dict(*r[3:])} for r in relations],
        version=version,
        digest=0,
        created_at=CREATED,
        updated_at=CREATED,
        **more,
    )
    fragment = project(memory)
    return GraphWrite(user, memory_id, version, fragment.bucket, CREATED, fragment, force)


def forget_write(memory_id: str, version: int, *, user: str = "u1", force: bool = False) -> GraphWrite:
    return GraphWrite(user, memory_id, version, bucket(user, memory_id), None, None, force)


@pytest.fixture
def say() -> Callable[..., GraphWrite]:
    """Make a write: id, version, entities ``(name, type[, properties])``, relations ``(source, type, target[, …])``."""
    return say_write


@pytest.fixture
def forget() -> Callable[..., GraphWrite]:
    """Make a delete: id, version."""
    return forget_write


@pytest.fixture
async def memory_graph() -> AsyncIterator[MemoryGraph]:
    graph = MemoryGraph()
    await graph.open()
    yield graph
    await graph.close()


@pytest.fixture
async def file_graph(tmp_path: Path) -> AsyncIterator[FileGraph]:
    graph = FileGraph(tmp_path / "store")
    await graph.open()
    yield graph
    await graph.close()


@pytest.fixture
async def neo4j_graph(clean_neo4j: str) -> AsyncIterator[Neo4jGraph]:
    graph = Neo4jGraph(clean_neo4j)
    await graph.open()
    yield graph
    await graph.close()


@pytest.fixture
async def postgres_graph(postgres_url: str, pg_schema: str) -> AsyncIterator[PostgresGraph]:
    graph = PostgresGraph(postgres_url, schema=pg_schema)
    await graph.open()
    yield graph
    await graph.close()


@pytest.fixture
async def theirs_graph(theirs_installed: tuple[str, ...]) -> AsyncIterator[GraphStore]:
    graph = await graph_backend("theirs://").make("theirs://", PersistenceConfig())
    await graph.open()
    yield graph
    await graph.close()


@pytest.fixture
def memory_graph_place() -> Place:
    return Place("memory://")


@pytest.fixture
def file_graph_place(tmp_path: Path) -> Place:
    return Place((tmp_path / "store").as_uri())


@pytest.fixture
def neo4j_graph_place(clean_neo4j: str) -> Place:
    return Place(clean_neo4j)


@pytest.fixture
def postgres_graph_place(postgres_url: str, pg_schema: str) -> Iterator[Place]:
    """Return the place; the graph's schema has a name of its own, made of the truth's."""
    yield Place(postgres_url, pg_schema)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(f"{pg_schema}_graph")))


@pytest.fixture
def theirs_graph_place(theirs_installed: tuple[str, ...]) -> Place:
    return Place("theirs://", path=theirs_installed)


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Place:
    """Return where each backend's graph is, by URL: for tests with a second process."""
    return request.getfixturevalue(f"{request.param}_place")


@pytest.fixture(params=BACKENDS)
def graph(request: pytest.FixtureRequest) -> GraphStore:
    """Each backend in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def apply(graph: GraphStore) -> Callable[..., Any]:
    """Apply the writes given as one batch and return ``[(verdict, version)]``."""

    async def run(*writes: GraphWrite, timeout: float = 30.0) -> list[tuple[str, int]]:
        acks = await graph.apply(writes, timeout=timeout)
        return [(ack.verdict.value, ack.version) for ack in acks]

    return run
