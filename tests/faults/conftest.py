from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence.graph.memory import FileGraph
from persistence.vector.memory import FileStorage
from persistence.vector.qdrant.embedded import EmbeddedEngine
from tests.contract.vector.making import IN_MEMORY
from tests.faults.at_k.table import tables
from tests.faults.stores import Stores, StoresOnPostgres
from tests.faults.truths import FileStores, QdrantStores, SqliteStores, SqliteStoresOnPostgres


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tables that tests have noted rows of."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    for table in tables(one for report in reports if report.when == "call" for one in report.user_properties):
        terminalreporter.write_line(table)


@pytest.fixture
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Return a truth of the test's own, and a graph with nothing of ours in it.

    They are what the test asks for by parameter, ``truth+graph``; else pgvector and Neo4j.
    """
    truth, _, graph = getattr(request, "param", "pgvector+neo4j").partition("+")
    if truth == "file":
        yield FileStores("", "diptych", "", FileStorage(tmp_path / "truth"), FileGraph(tmp_path / "graph"))
        return
    place = request.getfixturevalue("clean_neo4j" if graph == "neo4j" else "postgres_url")
    on_postgres = graph == "postgres"
    schema = request.getfixturevalue("pg_schema") if on_postgres or truth == "pgvector" else "diptych"
    if truth == "qdrant":
        with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
            engine = EmbeddedEngine(Path(folder) / "qdrant")
            await engine.open()
            yield QdrantStores("", schema, place, engine)
            await engine.close()
        return
    if truth == "sqlite":
        kind = SqliteStoresOnPostgres if on_postgres else SqliteStores
        stores: Stores = kind(f"sqlite:///{tmp_path / 'truth.db'}", schema, place)
    else:
        kept = request.getfixturevalue("postgres_url")
        stores = (StoresOnPostgres if on_postgres else Stores)(kept, schema, place)
    yield stores
    if isinstance(stores, StoresOnPostgres):
        _drop(place, stores.graph_schema)


def _drop(url: str, schema: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
async def own(postgres_server: Any, neo4j_server: Any) -> Stores:
    """Return the same on servers that the test may stop, kill and freeze, whatever URLs the environment gives."""
    stores = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    return stores
