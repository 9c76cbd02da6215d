from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.faults.stores import Stores, StoresOnPostgres


@pytest.fixture
def stores(request: pytest.FixtureRequest, postgres_url: str, pg_schema: str) -> Iterator[Stores]:
    """Return a truth in a schema of the test's own, and a graph with nothing of ours in it.

    The graph is on Neo4j; on PostgreSQL where the test asks for ``"postgres"`` by parameter.
    """
    if getattr(request, "param", "neo4j") == "neo4j":
        yield Stores(postgres_url, pg_schema, request.getfixturevalue("clean_neo4j"))
        return
    stores = StoresOnPostgres(postgres_url, pg_schema, postgres_url)
    yield stores
    with psycopg.connect(postgres_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(stores.graph_schema)))


@pytest.fixture
async def own(postgres_server: Any, neo4j_server: Any) -> Stores:
    """Return the same on servers that the test may stop, kill and freeze, whatever URLs the environment gives."""
    stores = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    return stores
