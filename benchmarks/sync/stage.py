"""Both stores, filled; the service on them as its user has it, and a plain connection to each beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import neo4j
import psycopg
from psycopg import sql

from benchmarks.servers import Urls
from benchmarks.sides.graphs import empty_graph
from benchmarks.sync.filling import Plan, Tenant, fill
from benchmarks.workload import DIMENSION
from persistence import AsyncPersistenceService, Key, PersistenceConfig
from persistence.graph.neo4j import Neo4jGraph
from persistence.vector.pgvector import PgVectorStore
from sync import AsyncSyncService, CheckReport, Depth, Kind

Connection = psycopg.AsyncConnection[Any]

NOTHING: Mapping[Kind, int] = {}
_SAMPLE = """
SELECT user_id, id FROM memories WHERE user_id = ANY(%(tenants)s)
ORDER BY hashtextextended(id, %(seed)s), user_id, id LIMIT %(count)s
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is to measure. ``db`` and ``driver`` know nothing of the service."""

    plan: Plan
    urls: Urls
    config: PersistenceConfig
    vector: PgVectorStore
    graph: Neo4jGraph
    db: Connection
    driver: neo4j.AsyncDriver
    memories: AsyncPersistenceService
    sync: AsyncSyncService

    async def check(
        self, expected: Mapping[Kind, int] = NOTHING, *, depth: Depth = Depth.QUICK, user_id: str | None = None
    ) -> CheckReport:
        """Check, and see that it finds what it has to find."""
        report = await self.sync.check_consistency(depth, user_id=user_id)
        if not report.complete or report.pending or dict(report.counts) != dict(expected):
            raise RuntimeError(f"a check found {dict(report.counts)}, not {dict(expected)}: {report}")
        return report

    async def check_all(self, *, depth: Depth = Depth.QUICK) -> None:
        """Check everything, and see that all of it is there and in step."""
        checked = (await self.check(depth=depth)).checked
        if (checked.vector, checked.graph) != (self.plan.memories, self.plan.memories):
            raise RuntimeError(f"a check saw {checked} of {self.plan.memories} memories")

    async def sample(self, tenants: Sequence[Tenant], count: int, seed: int) -> list[Key]:
        """Choose memories of some tenants, always the same ones."""
        parameters = {"tenants": [tenant.user_id for tenant in tenants], "seed": seed, "count": count}
        return [Key(*row) for row in await (await self.db.execute(_SAMPLE, parameters)).fetchall()]


@asynccontextmanager
async def staged(
    plan: Plan, urls: Urls, driver: neo4j.AsyncDriver, schema: str, say: Callable[[str], None]
) -> AsyncIterator[Stage]:
    """Open the service on empty stores, so that the graph is this truth's, and fill them. The graph stays full."""
    await empty_graph(driver)
    config = PersistenceConfig(schema_name=schema, embedding_dimension=DIMENSION, enable_relay=False)
    async with _empty_schema(urls.postgres, schema) as db:
        vector, graph = PgVectorStore(urls.postgres, schema=schema), Neo4jGraph(_of(urls))
        async with AsyncPersistenceService.connect(vector, graph, config=config) as memories:
            await vector._sessions.configure(db)  # noqa: SLF001  # the same session settings on both sides
            await db.execute("SET statement_timeout = 0")
            await fill(plan, db, graph, say)
            yield Stage(plan, urls, config, vector, graph, db, driver, memories, AsyncSyncService(memories))


def _of(urls: Urls) -> str:
    if urls.neo4j is None:
        raise RuntimeError("checks are measured with a graph")
    return urls.neo4j


@asynccontextmanager
async def _empty_schema(url: str, schema: str) -> AsyncIterator[Connection]:
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute(drop)
        try:
            yield db
        finally:
            await db.execute(drop)
