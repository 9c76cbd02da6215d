"""Truths whose tables are brought forward and back under running services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from persistence import PersistenceConfig
from persistence.ports.schema import Schema
from persistence.sqlfiles import Migration
from persistence.vector.pgvector import PgVectorSchema
from persistence.vector.sqlite import SqliteSchema


@dataclass(frozen=True, slots=True)
class House:
    """A truth: its settings, and its tables as code of these steps sees them."""

    kind: str
    config: PersistenceConfig
    schema: Callable[[Sequence[Migration] | None], Schema]


@pytest.fixture
def graph_schema(postgres_url: str, pg_schema: str) -> Iterator[str]:
    """Return the name of the graph's schema beside the truth's, dropped afterwards."""
    name = f"{pg_schema}_graph"
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def pgvector(postgres_url: str, pg_schema: str) -> House:
    config = PersistenceConfig(
        vector_url=postgres_url, graph_url="memory://", schema_name=pg_schema, embedding_dimension=8
    )
    return House("pgvector", config, lambda steps: PgVectorSchema(postgres_url, schema=pg_schema, steps=steps))


@pytest.fixture
def sqlite(tmp_path: Path) -> House:
    path = tmp_path / "truth.db"
    config = PersistenceConfig(vector_url=f"sqlite:///{path}", graph_url="memory://", embedding_dimension=8)
    return House("sqlite", config, lambda steps: SqliteSchema(path, steps=steps))


@pytest.fixture(params=["pgvector", "sqlite"])
def house(request: pytest.FixtureRequest) -> House:
    """Return a truth whose tables grow by steps, one kind after the other."""
    found: House = request.getfixturevalue(request.param)
    return found
