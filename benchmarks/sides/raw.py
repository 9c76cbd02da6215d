"""The raw pair: the statements of diptych's own adapters, sent by psycopg and the neo4j driver and by nothing else.

No service: nothing is validated, projected or settled, nothing is retried, and one connection to Postgres stays open.
Parameters and COPY rows are made before the clock starts, but for versions and times, which truth gives.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import neo4j
import psycopg
from psycopg import sql

from benchmarks.sides.graphs import count_graph
from benchmarks.workload import DIMENSION, Item
from persistence import PersistenceConfig
from persistence.drafting import projected
from persistence.graph.neo4j.batching import Batch, batch, seconds
from persistence.graph.neo4j.statements import APPLY
from persistence.ports.graph import GraphWrite
from persistence.ports.vector import MemoryWrite, Tracking
from persistence.records import Entity, Relationship
from persistence.vector.pgvector import PgVectorStore, rows, writes
from persistence.vector.pgvector.queries import FORMER, Queries

#: As many as the service puts into one transaction.
BATCH: int = PersistenceConfig().batch_size
TRACKING = Tracking(graph=True, lease=60.0)
#: Milliseconds since 1970 by which the graph has to have begun: never too late.
NOT_AFTER = 2**62

_SQL = Queries("writes")
WRITE = _SQL.get("write", former=FORMER)
PREPARE = _SQL.get("prepare")
COPY = _SQL.get("copy")


@dataclass(frozen=True, slots=True)
class Ready:
    """One batch: writes, parameters of the first statement, rows for COPY, and the graph's parameter."""

    writes: list[MemoryWrite]
    parameters: dict[str, Any]
    packed: list[bytes]
    graph: Batch


class Raw:
    """The same statements by hand: first truth, then the graph, batch by batch."""

    name = "raw pair"
    late = 0

    def __init__(self, postgres: str, driver: neo4j.AsyncDriver, schema: str) -> None:
        self._url = postgres
        self._driver = driver
        self._schema = schema
        self._store = PgVectorStore(postgres, schema=schema)

    async def open(self) -> None:
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._drop()
        await self._store.open(model="none", dimension=DIMENSION)
        await self._store._sessions.configure(self._db)  # noqa: SLF001  # the same session settings on both sides

    async def close(self) -> None:
        await self._store.close()
        await self._drop()
        await self._db.close()

    async def _drop(self) -> None:
        await self._db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self._schema)))

    async def empty(self) -> None:
        await self._db.execute("TRUNCATE memories, tombstones, outbox")

    async def ready(self, items: Sequence[Item]) -> list[Ready]:
        return [_ready(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]

    async def store(self, ready: list[Ready]) -> None:
        (one,) = ready
        cursor = await self._db.execute(WRITE, one.parameters, binary=True)
        row = await cursor.fetchone()
        if row is None:
            raise RuntimeError("no answer to a write")
        _stamp(one.graph, [(row[1], row[2])])
        await self._apply(one.graph)

    async def store_many(self, ready: list[Ready]) -> None:
        for one in ready:
            _stamp(one.graph, await self._copy(one))
            await self._apply(one.graph)

    async def load(self, ready: list[Ready]) -> None:
        if not await self._store.begin_load():
            raise RuntimeError("the vector index was not put off")
        await self.store_many(ready)
        await self._store.end_load()

    async def rest(self) -> None:
        return

    async def counts(self, user_id: str) -> tuple[int, int, int]:
        found = await self._store.count(user_id)
        return (found.value or 0, *await count_graph(self._driver, user_id))

    async def _copy(self, ready: Ready) -> list[tuple[int, Any]]:
        """Write one batch to truth; return version and time of creation of each, in the order given."""
        async with self._db.transaction():
            cursor = await self._db.execute(PREPARE, ready.parameters, binary=True)
            judged = sorted(await cursor.fetchall())
            file = [
                row + rows.pack_times(version, created, updated)
                for row, (_, _, _, version, created, updated, _) in zip(ready.packed, judged, strict=True)
            ]
            async with self._db.cursor().copy(COPY) as copy:
                await copy.write(rows.pack_file(file))
        return [(judgement[3], judgement[4]) for judgement in judged]

    async def _apply(self, work: Batch) -> None:
        async with self._driver.session() as session:
            parameters = {"batch": work.parameter, "not_after": NOT_AFTER}
            result = await session.run(APPLY, parameters)
            await result.single(strict=True)


def _ready(items: Sequence[Item]) -> Ready:
    prepared = [projected(memory_write(item)) for item in items]
    made = [one.write for one in prepared]
    if len(made) == 1:
        parameters = writes._parameters(made[0], TRACKING, want_former=False)  # noqa: SLF001  # the adapter's own
    else:
        parameters = writes._batch(made, TRACKING)  # noqa: SLF001  # the adapter's own
    graph = [GraphWrite(w.write.user_id, w.write.id, 0, w.write.bucket, None, w.fragment) for w in prepared]
    return Ready(made, parameters, rows.pack_writes(made, DIMENSION), batch(graph))


def _stamp(work: Batch, stamps: Sequence[tuple[int, Any]]) -> None:
    """Put what truth has given into the graph's parameter."""
    for row, position in zip(work.rows, work.order, strict=True):
        row[2], row[10] = stamps[position][0], seconds(stamps[position][1])


def memory_write(item: Item) -> MemoryWrite:
    """Return the write that the service makes of a memory; digest and bucket are still to come."""
    return MemoryWrite(
        user_id=item.user_id,
        id=item.id,
        agent_id=None,
        run_id=None,
        content=item.content,
        metadata={},
        entities=tuple(Entity(**entity) for entity in item.entities),
        relationships=tuple(Relationship(**stated) for stated in item.relationships),
        extracted=False,
        embedding=item.embedding,
        digest=0,
        bucket=0,
        created_at=None,
        write_id=uuid.uuid4(),
    )
