"""The truth's sessions: how they are set up, and what a part of the store needs of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.string import ByteaBinaryLoader

from persistence.postgres.migrate import quoted
from persistence.postgres.pool import Pool
from persistence.vector.pgvector.connecting import Connection, direct
from persistence.vector.pgvector.errors import FAULTS
from persistence.vector.pgvector.migrate import Extension
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.rows import RawVector

_SQL = Queries("session")
_CONFIGURE, _BEGIN_STILL, _STAY = _SQL.get("configure"), _SQL.get("begin_still"), _SQL.get("stay")
#: Milliseconds for which a reader may be busy with what it read, writing it to a slow disk, say.
_PAUSE = "600000"


class Sessions(Pool):
    """Connections that are set up for our queries. No I/O before ``open``."""

    def __init__(self, info: str, schema: str, size: int, connect_timeout: float, statement_timeout: float) -> None:
        super().__init__(info, size, connect_timeout, FAULTS)
        self._schema = schema
        #: Milliseconds, as Postgres reads them.
        self.statement_timeout = f"{statement_timeout * 1000:.0f}"
        self._dumper: type[Dumper] | None = None
        self._search_path = ""

    async def open(self, extension: Extension) -> None:
        """Open the pool for a schema that is there."""
        self._dumper = _vector_dumper(extension.oid)
        self._search_path = quoted(self._schema, extension.schema)
        await self._open()

    async def configure(self, connection: Connection) -> None:
        """Set up a session."""
        parameters = {"search_path": self._search_path, "timeout": self.statement_timeout}
        await connection.execute(_CONFIGURE, parameters)
        if self._dumper is not None:
            connection.adapters.register_dumper(RawVector, self._dumper)
            connection.adapters.register_loader(self._dumper.oid, ByteaBinaryLoader)
        connection.adapters.register_loader("jsonb", ByteaBinaryLoader)

    @asynccontextmanager
    async def still(self) -> AsyncIterator[Sessions]:
        """Lend sessions that all see this moment: one connection beside the pool, in one transaction."""
        async with direct(self._info, self._connect_timeout, proven=True) as connection:
            await self.configure(connection)
            await connection.execute(_BEGIN_STILL)
            await connection.execute(_STAY, {"pause": _PAUSE})
            yield _Still(self._info, connection)


class _Still(Sessions):
    """Sessions that are one connection, which one call at a time has."""

    def __init__(self, info: str, connection: Connection) -> None:
        super().__init__(info, "", 1, 0.0, 0.0)
        self._connection = connection
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self, *, write: bool = False) -> AsyncIterator[Connection]:
        async with self._turn:
            with self._faults.translated(write=write):
                yield self._connection


class Part:
    """A part of the store: what its methods need."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._dimension: int | None = None

    def _bound(self) -> int:
        """Return how many dimensions the store's embeddings have."""
        if self._dimension is None:
            raise FAULTS.not_open()
        return self._dimension


def _vector_dumper(oid: int) -> type[Dumper]:
    """Return a dumper for the type ``vector``, whose oid differs from database to database."""

    class VectorDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: RawVector) -> bytes:
            return obj.data

    VectorDumper.oid = oid
    return VectorDumper
