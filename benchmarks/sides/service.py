"""The service itself, as its user calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import neo4j
import psycopg
from psycopg import sql

from benchmarks.sides.graphs import count_graph, forget_store
from benchmarks.workload import DIMENSION, Item
from persistence import AsyncPersistenceService, Outcome, PersistenceConfig

#: Longer than the service lets a settled entry wait.
REST = 0.08


class Service:
    """``AsyncPersistenceService`` with its default settings: relay, retries, settling and all."""

    name = "diptych"

    def __init__(self, postgres: str, graph: str, driver: neo4j.AsyncDriver, schema: str) -> None:
        self._url = postgres
        self._graph = graph
        self._driver = driver
        self._schema = schema
        self.late = 0

    async def open(self) -> None:
        await forget_store(self._driver)
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._drop()
        config = PersistenceConfig(schema_name=self._schema, embedding_dimension=DIMENSION)
        self.memories = AsyncPersistenceService.connect(self._url, self._graph, config=config)
        await self.memories.open()

    async def close(self) -> None:
        await self.memories.close()
        await self._drop()
        await self._db.close()
        await forget_store(self._driver)

    async def _drop(self) -> None:
        await self._db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self._schema)))

    async def empty(self) -> None:
        await self.rest()
        tables = [sql.Identifier(self._schema, name) for name in ("memories", "tombstones", "outbox")]
        await self._db.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))

    async def ready(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        return [item.fields() for item in items]

    async def store(self, ready: list[dict[str, Any]]) -> None:
        (fields,) = ready
        result = await self.memories.store(**fields)
        self._note([result.outcome])

    async def store_many(self, ready: list[dict[str, Any]]) -> None:
        results = await self.memories.store_many(ready)
        self._note([result.outcome for result in results])

    async def load(self, ready: list[dict[str, Any]]) -> None:
        async with self.memories.bulk_load() as put_off:
            if not put_off:
                raise RuntimeError("the vector index was not put off")
            await self.store_many(ready)

    async def rest(self) -> None:
        await asyncio.sleep(REST)

    async def counts(self, user_id: str) -> tuple[int, int, int]:
        found = await self.memories.count(user_id=user_id)
        return (found.value or 0, *await count_graph(self._driver, user_id))

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        self.late += sum(outcome is not Outcome.IN_STEP for outcome in outcomes)
