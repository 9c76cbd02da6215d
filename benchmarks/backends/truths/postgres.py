"""pgvector by psycopg: the adapter's statements on one connection."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from benchmarks.backends.truths.side import MODEL, TRACKING, Adapter, Record
from benchmarks.workload import DIMENSION
from persistence.records import Vector
from persistence.vector.pgvector import PgVectorStore, rows, writes
from persistence.vector.pgvector.queries import FORMER, MEMORY_LIGHT, Queries

_WRITES = Queries("writes")
_WRITE = _WRITES.get("write", former=FORMER)
_PREPARE, _COPY = _WRITES.get("prepare"), _WRITES.get("copy")
_SEARCH = Queries("reads").get("search", memory=MEMORY_LIGHT, where=sql.SQL("true"), dimension=sql.Literal(DIMENSION))


class PostgresAdapter(Adapter):
    """The adapter in a schema of its own."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(PgVectorStore(url, schema=schema))
        self._url, self._schema = url, schema

    async def open(self) -> None:
        await drop(self._url, self._schema)
        await super().open()

    async def close(self) -> None:
        await super().close()
        await drop(self._url, self._schema)


class RawPostgres:
    """The same statements, no pool."""

    def __init__(self, url: str, schema: str) -> None:
        self._url, self._schema = url, schema
        self._store = PgVectorStore(url, schema=schema)

    async def open(self) -> None:
        await drop(self._url, self._schema)
        await self._store.open(model=MODEL, dimension=DIMENSION)
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._store._sessions.configure(self._db)  # noqa: SLF001  # the same session settings on both sides

    async def close(self) -> None:
        await self._db.close()
        await self._store.close()
        await drop(self._url, self._schema)

    async def write(self, record: Record) -> None:
        parameters = writes._parameters(record.write, TRACKING, want_former=False)  # noqa: SLF001  # the adapter's own
        await (await self._db.execute(_WRITE, parameters, binary=True)).fetchone()

    async def write_many(self, records: Sequence[Record]) -> None:
        made = [record.write for record in records]
        packed = rows.pack_writes(made, DIMENSION)
        async with self._db.transaction():
            batch = writes._batch(made, TRACKING)  # noqa: SLF001  # the adapter's own
            cursor = await self._db.execute(_PREPARE, batch, binary=True)
            judged = sorted(await cursor.fetchall())
            times = [rows.pack_times(version, created, updated) for _, _, _, version, created, updated, _ in judged]
            async with self._db.cursor().copy(_COPY) as copy:
                await copy.write(rows.pack_file([row + at for row, at in zip(packed, times, strict=True)]))

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        parameters = {"user_id": user_id, "vector": rows.RawVector(vector), "limit": limit}
        cursor = await self._db.execute(_SEARCH, parameters, prepare=False, binary=True)
        return [row[0] for row in await cursor.fetchall()]


async def drop(url: str, schema: str) -> None:
    """Remove a schema."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
