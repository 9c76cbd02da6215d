"""The pair as one writes it by hand on an afternoon: a plain INSERT, a plain MERGE, and no guarantees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, LiteralString

import neo4j
import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import sql

from benchmarks.workload import DIMENSION, Item

BATCH = 1_000

TABLE: LiteralString = """
CREATE TABLE {table} (
    user_id text NOT NULL, id text NOT NULL, content text NOT NULL, metadata jsonb NOT NULL,
    embedding vector({dimension}) NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (user_id, id)
)
"""
INDEX: LiteralString = "CREATE INDEX {index} ON {table} USING hnsw (embedding vector_cosine_ops)"
INSERT: LiteralString = """
INSERT INTO {table} (user_id, id, content, metadata, embedding) VALUES (%s, %s, %s, %s, %s)
"""
CONSTRAINTS: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT naive_memory IF NOT EXISTS FOR (m:NaiveMemory) REQUIRE (m.user_id, m.id) IS UNIQUE",
    "CREATE CONSTRAINT naive_entity IF NOT EXISTS FOR (e:NaiveEntity) REQUIRE (e.user_id, e.type, e.name) IS UNIQUE",
)
MERGE: LiteralString = """
UNWIND $rows AS row
MERGE (m:NaiveMemory {user_id: row.user_id, id: row.id})
SET m.content = row.content
WITH m, row
CALL (m, row) {
  UNWIND row.entities AS entity
  MERGE (e:NaiveEntity {user_id: row.user_id, type: entity.type, name: entity.name})
  MERGE (m)-[mention:MENTIONS]->(e)
  SET mention += entity.properties
}
CALL (row) {
  UNWIND row.relationships AS stated
  MATCH (s:NaiveEntity {user_id: row.user_id, type: stated.source_type, name: stated.source})
  MATCH (t:NaiveEntity {user_id: row.user_id, type: stated.target_type, name: stated.target})
  MERGE (s)-[r:RELATED {type: stated.type, memory_id: row.id}]->(t)
  SET r += stated.properties
}
"""


class Naive:
    """Plain statements; rows in batches by ``executemany``, which psycopg pipelines."""

    name = "naive pair"
    late = 0

    def __init__(self, postgres: str, driver: neo4j.AsyncDriver, schema: str) -> None:
        self._url = postgres
        self._driver = driver
        self._names = {"table": sql.Identifier(schema, "memories"), "index": sql.Identifier("memories_embedding")}
        self._schema = schema

    async def open(self) -> None:
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await register_vector_async(self._db)
        for statement in ("DROP SCHEMA IF EXISTS {schema} CASCADE", "CREATE SCHEMA {schema}"):
            await self._db.execute(sql.SQL(statement).format(schema=sql.Identifier(self._schema)))
        await self._db.execute(sql.SQL(TABLE).format(**self._names, dimension=sql.Literal(DIMENSION)))
        await self._db.execute(sql.SQL(INDEX).format(**self._names))
        for constraint in CONSTRAINTS:
            await self._driver.execute_query(constraint)

    async def close(self) -> None:
        drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self._schema))
        await self._db.execute(drop)
        await self._db.close()

    async def empty(self) -> None:
        await self._db.execute(sql.SQL("TRUNCATE {table}").format(**self._names))

    async def ready(self, items: Sequence[Item]) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(_row(item), _node(item)) for item in items]

    async def store(self, ready: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        ((row, node),) = ready
        await self._db.execute(sql.SQL(INSERT).format(**self._names), row)
        await self._merge([node])

    async def store_many(self, ready: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        insert = sql.SQL(INSERT).format(**self._names)
        for start in range(0, len(ready), BATCH):
            batch = ready[start : start + BATCH]
            async with self._db.transaction(), self._db.cursor() as cursor:
                await cursor.executemany(insert, [row for row, _ in batch])
            await self._merge([node for _, node in batch])

    async def load(self, ready: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        schema = sql.Identifier(self._schema)
        await self._db.execute(sql.SQL("DROP INDEX {schema}.{index}").format(**self._names, schema=schema))
        await self.store_many(ready)
        await self._db.execute(sql.SQL(INDEX).format(**self._names))

    async def rest(self) -> None:
        return

    async def counts(self, user_id: str) -> tuple[int, int, int]:
        rows = await self._db.execute(
            sql.SQL("SELECT count(*) FROM {table} WHERE user_id = %s").format(**self._names), [user_id]
        )
        found = await self._driver.execute_query(
            "MATCH (m:NaiveMemory {user_id: $user_id}) WITH count(m) AS memories "
            "MATCH (:NaiveEntity {user_id: $user_id})-[r:RELATED]->() RETURN memories, count(r) AS edges",
            user_id=user_id,
        )
        (row,) = await rows.fetchall()
        return row[0], found.records[0]["memories"], found.records[0]["edges"]

    async def _merge(self, nodes: list[dict[str, Any]]) -> None:
        async with self._driver.session() as session:
            result = await session.run(MERGE, rows=nodes)
            await result.consume()


def _row(item: Item) -> tuple[Any, ...]:
    said = {"entities": item.entities, "relationships": item.relationships}
    return item.user_id, item.id, item.content, json.dumps(said), item.embedding


def _node(item: Item) -> dict[str, Any]:
    types = {entity["name"]: entity["type"] for entity in item.entities}
    stated = [{**r, "source_type": types[r["source"]], "target_type": types[r["target"]]} for r in item.relationships]
    return {
        "user_id": item.user_id,
        "id": item.id,
        "content": item.content,
        "entities": list(item.entities),
        "relationships": stated,
    }
