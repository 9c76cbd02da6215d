from __future__ import annotations

import pytest

from tests.faults.stores import Stores
from tests.redis_server import redis  # noqa: F401  # a fixture


@pytest.fixture
def stores(postgres_url: str, pg_schema: str, clean_neo4j: str) -> Stores:
    """Return a truth in a schema of the test's own, and a graph with nothing of ours in it."""
    return Stores(postgres_url, pg_schema, clean_neo4j)
