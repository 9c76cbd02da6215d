from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.faults.stores import Stores


@pytest.fixture
def stores(postgres_url: str, pg_schema: str, clean_neo4j: str) -> Stores:
    """Return a truth in a schema of the test's own, and a graph with nothing of ours in it."""
    return Stores(postgres_url, pg_schema, clean_neo4j)


@pytest.fixture
async def own(postgres_server: Any, neo4j_server: Any) -> Stores:
    """Return the same on servers that the test may stop, kill and freeze, whatever URLs the environment gives."""
    stores = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    return stores
