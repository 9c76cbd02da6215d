"""Many memories in both stores at once, by COPY: truth and projection on PostgreSQL as the service would have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from persistence.projection import project
from tests.faults.stores import ALICE, Shown, StoresOnPostgres

#: Each memory whose number this divides is left out of the graph.
MISSING = 10
_VERSION = 1_700_000_000_000_000
_THEN = datetime(2026, 1, 1, tzinfo=UTC)
_TRUTH = (
    "COPY {}.memories (user_id, id, content, metadata, entities, relationships, extracted, embedding, version, digest, "
    "bucket, write_id, created_at, updated_at) FROM STDIN"
)
_GRAPH = "COPY {}.memories (user_id, id, version, digest, bucket, caption, created_at) FROM STDIN"


async def fill(stores: StoresOnPostgres, number: int) -> int:
    """Put so many memories into both, but for those left out of the graph; return how many were left out."""
    async with await psycopg.AsyncConnection.connect(stores.postgres, autocommit=True) as connection:
        await _drop_vector_index(connection, stores.schema)
        await _copy(connection, _TRUTH, stores.schema, (truth for truth, _ in _rows(number)))
        there = (graph for at, (_, graph) in enumerate(_rows(number)) if at % MISSING)
        await _copy(connection, _GRAPH, stores.graph_schema, there)
        await connection.execute("ANALYZE")
    return -(-number // MISSING)


def _rows(number: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    vector = "[1,2,1,2,1,2,1,2]"
    for at in range(number):
        name, content = f"n{at:08}", f"Memory {at} of very many."
        fragment = project(Shown(name, ALICE, None, None, content, (), ()))
        digest, bucket = fragment.digest, fragment.bucket
        said = (ALICE, name, content, "{}", "[]", "[]", True, vector)
        yield (
            (*said, _VERSION, digest, bucket, UUID(int=at), _THEN, _THEN),
            (ALICE, name, _VERSION, digest, bucket, fragment.caption, _THEN),
        )


async def _drop_vector_index(connection: Any, schema: str) -> None:
    """Leave out what would take most of the time, and no check reads."""
    query = (
        "SELECT c.relname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam "
        "WHERE a.amname = 'hnsw' AND c.relnamespace = %s::regnamespace"
    )
    for (name,) in await (await connection.execute(query, [schema])).fetchall():
        await connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name)))


async def _copy(connection: Any, statement: str, schema: str, rows: Iterable[tuple[Any, ...]]) -> None:
    query = sql.SQL(statement).format(sql.Identifier(schema))  # type: ignore[arg-type]  # one of the two above
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in rows:
            await copy.write_row(row)
