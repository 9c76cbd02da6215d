"""The pool: how sessions are set up, handed out, and told from dead ones; and the transaction around a write."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.types.string import ByteaBinaryLoader
from psycopg_pool import AsyncConnectionPool

from persistence.errors import VectorStoreUnavailableError
from persistence.vector.pgvector.connecting import Connection
from persistence.vector.pgvector.errors import translated
from persistence.vector.pgvector.migrate import Extension, quoted
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.rows import RawVector

_SESSION = Queries("session")
_CONFIGURE = _SESSION.get("configure")
_BEGIN = _SESSION.get("begin")


class Sessions:
    """Connections that are set up for our queries. No I/O before ``open``."""

    def __init__(self, info: str, schema: str, size: int, connect_timeout: float, statement_timeout: float) -> None:
        self._info = info
        self._schema = schema
        self._size = size
        self._connect_timeout = connect_timeout
        #: Milliseconds, as Postgres reads them.
        self.statement_timeout = f"{statement_timeout * 1000:.0f}"
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._dumper: type[Dumper] | None = None
        self._search_path = ""

    async def open(self, extension: Extension) -> None:
        """Open the pool for a schema that is there."""
        self._dumper = _vector_dumper(extension.oid)
        self._search_path = quoted(self._schema, extension.schema)
        self._pool = AsyncConnectionPool(
            self._info,
            connection_class=psycopg.AsyncConnection[tuple[Any, ...]],
            kwargs={"autocommit": True},
            min_size=min(2, self._size),
            max_size=self._size,
            open=False,
            configure=self.configure,
            check=self._check,
            timeout=self._connect_timeout,
            name="diptych",
        )
        try:
            with translated():
                await self._pool.open(wait=True, timeout=self._connect_timeout * 2)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection; those in use when they come back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    @asynccontextmanager
    async def use(self, *, write: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection. ``write``: each statement sent commits by itself, so losing its answer leaves a doubt."""
        if self._pool is None:
            raise not_open()
        with translated():
            connection = await self._pool.getconn()
        try:
            with translated(write=write):
                yield connection
        finally:
            # A cancellation must not come between: giving back may wait for the pool's lock, and a connection that is
            # not given back is lost to the pool for good.
            await asyncio.shield(asyncio.ensure_future(self._give_back(connection)))

    async def _give_back(self, connection: Connection) -> None:
        """Return a connection, after rolling back what was left open, by closing the connection if need be."""
        if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
            await _roll_back(connection)
        if self._pool is None:
            await connection.close()
        else:
            await self._pool.putconn(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, committed at the end.

        Raises OutcomeUnknownError where the connection is lost while it is committed.
        """
        async with self.use() as connection:
            await connection.execute(_BEGIN)
            yield connection
            with translated(write=True):
                await connection.commit()

    async def _check(self, connection: Connection) -> None:
        """Refuse a connection that its server has closed; the others are likely to be closed too, so replace them all.

        (Else each is found in its turn, and the pool waits longer before each next one.)
        """
        if _hung_up(connection):
            if self._pool is not None:
                await self._pool.drain()
            raise psycopg.OperationalError("the server closed the connection")

    async def configure(self, connection: Connection) -> None:
        """Set up a session."""
        parameters = {"search_path": self._search_path, "timeout": self.statement_timeout}
        await connection.execute(_CONFIGURE, parameters)
        if self._dumper is not None:
            connection.adapters.register_dumper(RawVector, self._dumper)
            connection.adapters.register_loader(self._dumper.oid, ByteaBinaryLoader)
        connection.adapters.register_loader("jsonb", ByteaBinaryLoader)


class Part:
    """A part of the store: what its methods need."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._dimension: int | None = None

    def _bound(self) -> int:
        """Return how many dimensions the store's embeddings have."""
        if self._dimension is None:
            raise not_open()
        return self._dimension


def not_open() -> VectorStoreUnavailableError:
    """Return the error of a store that is used before it is opened, or after it was closed."""
    return VectorStoreUnavailableError("The vector store is not open.", hint="open it first")


async def _roll_back(connection: Connection) -> None:
    try:
        await connection.rollback()
    except psycopg.Error:
        # What went wrong before is on its way to the caller; the server undoes the work of a closed connection.
        await connection.close()


def _hung_up(connection: Connection) -> bool:
    """Say whether the server has closed an idle connection, by a look at its socket: no round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return bool(poll.poll(0))  # still readable after everything was read


def _vector_dumper(oid: int) -> type[Dumper]:
    """Return a dumper for the type ``vector``, whose oid differs from database to database."""

    class VectorDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: RawVector) -> bytes:
            return obj.data

    VectorDumper.oid = oid
    return VectorDumper
