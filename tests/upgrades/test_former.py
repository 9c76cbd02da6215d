"""What was released is not changed: steps of schemas, and what old processes say."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from persistence.graph.postgres import GraphSchema
from persistence.ports.schema import Phase
from persistence.vector.pgvector import PgVectorSchema
from persistence.vector.pgvector import __file__ as of_pgvector
from persistence.vector.sqlite import SqliteSchema
from tests.upgrades.steps import HERE

ROOT = Path(of_pgvector).parents[3]
BOTH = (Phase.PRE, Phase.POST)
RELEASED: dict[str, str] = json.loads((HERE / "released.json").read_text("utf-8"))
_PARAMETER = re.compile(r"%\((\w+)\)s")


def statements(kind: str) -> dict[str, str]:
    """Return the statements of the last release by their names."""
    text = (HERE / "former" / f"{kind}.sql").read_text("utf-8")
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name: body.strip().removesuffix(";") for name, _, body in parts}


def numbered(statement: str) -> bytes:
    """Return a statement of psycopg's as the server takes it, its parameters numbered."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%").encode()


def nothing(statement: str) -> dict[str, None] | list[None]:
    """Return values for a statement of SQLite's, its parameters numbered or named."""
    return [None] * statement.count("?") or dict.fromkeys(re.findall(r":(\w+)", statement))


@pytest.mark.parametrize("path", RELEASED)
def test_a_released_step_stays_as_it_is(path: str) -> None:
    """What some database has applied already is not edited: it would differ from the next."""
    assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == RELEASED[path]


async def _prepare(url: str, schema: str, kind: str) -> list[str]:
    """Have the server understand every statement; return those it does not."""
    refused = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        path = sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema))
        await connection.execute(path)
        for name, statement in statements(kind).items():
            result = connection.pgconn.prepare(b"", numbered(statement))
            if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                refused.append(f"{name}: {result.error_message.decode()}")
    return refused


async def test_old_statements_on_todays_truth(postgres_url: str, pg_schema: str) -> None:
    """PostgreSQL understands whatever the last release says to the truth."""
    await PgVectorSchema(postgres_url, schema=pg_schema).apply(BOTH)
    assert await _prepare(postgres_url, pg_schema, "pgvector") == []


async def test_old_statements_on_todays_graph(postgres_url: str, graph_schema: str) -> None:
    """PostgreSQL understands whatever the last release says to the graph."""
    await GraphSchema(postgres_url, schema=graph_schema).apply(BOTH)
    assert await _prepare(postgres_url, graph_schema, "postgres_graph") == []


async def test_old_statements_on_todays_file(tmp_path: Path) -> None:
    """SQLite understands whatever the last release says to a file."""
    await SqliteSchema(tmp_path / "truth.db").apply(BOTH)
    with closing(sqlite3.connect(tmp_path / "truth.db")) as connection:
        for name, statement in statements("sqlite").items():
            try:
                connection.execute(f"EXPLAIN {statement}", nothing(statement))
            except sqlite3.Error as error:
                pytest.fail(f"{name}: {error}")
