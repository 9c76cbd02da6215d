"""Neo4j and PostgreSQL by their drivers: the adapters' statements, one session or connection."""

from __future__ import annotations

from collections.abc import Sequence

import neo4j
import psycopg

from benchmarks.backends.graphs.side import Adapter, not_after
from benchmarks.backends.truths.postgres import drop
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.neo4j import batching as neo4j_batching
from persistence.graph.neo4j.statements import APPLY
from persistence.graph.postgres import PostgresGraph, batching
from persistence.ports.graph import GraphWrite
from persistence.postgres.queries import Queries

_APPLY = Queries("persistence.graph.postgres", "graph").get("apply")


class RawNeo4j:
    """The same Cypher; constraints and indexes are the database's, and so the same."""

    def __init__(self, url: str, driver: neo4j.AsyncDriver) -> None:
        self._graph = Neo4jGraph(url)
        self._driver = driver

    async def open(self) -> None:
        await self._graph.open()
        await self._graph.close()

    async def close(self) -> None:
        return

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        parameters = {"batch": neo4j_batching.batch(writes).parameter, "not_after": not_after()}
        async with self._driver.session() as session:
            await (await session.run(APPLY, parameters)).single(strict=True)


class PostgresAdapter(Adapter):
    """The adapter in a schema of its own."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(PostgresGraph(url, schema=schema))
        self._url, self._schema = url, schema

    async def open(self) -> None:
        await drop(self._url, self._schema)
        await super().open()

    async def close(self) -> None:
        await super().close()
        await drop(self._url, self._schema)


class RawPostgres:
    """The same SQL, no pool."""

    def __init__(self, url: str, schema: str) -> None:
        self._url, self._schema = url, schema
        self._graph = PostgresGraph(url, schema=schema)

    async def open(self) -> None:
        await drop(self._url, self._schema)
        await self._graph.open()
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._graph._sessions.configure(self._db)  # noqa: SLF001  # the same session settings on both sides

    async def close(self) -> None:
        await self._db.close()
        await self._graph.close()
        await drop(self._url, self._schema)

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        parameters = {**batching.batch(writes).parameters, "not_after": not_after()}
        await (await self._db.execute(_APPLY, parameters, binary=True)).fetchone()
