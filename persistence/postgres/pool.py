"""The pool: how sessions are handed out, and told from dead ones; and the transaction around a write."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from persistence.ports.observer import Location, PoolUse
from persistence.postgres.connecting import Connection
from persistence.postgres.faults import Faults
from persistence.postgres.queries import Queries
from persistence.sending import waiting

_SESSION = Queries(__package__, "session")
_BEGIN = _SESSION.get("begin")
_SERVER = _SESSION.get("server")


class Pool:
    """Connections that are set up for a store's queries by ``configure``. No I/O before ``_open``."""

    def __init__(self, info: str, size: int, connect_timeout: float, faults: Faults) -> None:
        self._info = info
        self._size = size
        self._connect_timeout = connect_timeout
        self._faults = faults
        self._pool: AsyncConnectionPool[Connection] | None = None

    async def configure(self, connection: Connection) -> None:
        """Set up a session."""
        raise NotImplementedError

    async def _open(self) -> None:
        """Make the first connections."""
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
            # After that the pool tries no more by itself, at intervals that grow with the outage; whoever asks for a
            # connection next has it try at once.
            reconnect_timeout=self._connect_timeout,
            name="diptych",
        )
        try:
            with self._faults.translated():
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
            raise self._faults.not_open()
        with self._faults.translated(), waiting():
            connection = await self._pool.getconn()
        try:
            with self._faults.translated(write=write):
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

        Raises the store's error of an unknown outcome where the connection is lost while it is committed.
        """
        async with self.use() as connection:
            await connection.execute(_BEGIN)
            yield connection
            with self._faults.translated(write=True):
                await connection.commit()

    def location(self, schema: str) -> Location:
        """Return where a schema is, as far as the URL says. Where it names several servers, the first."""
        parts = {name: str(value).partition(",")[0] for name, value in conninfo_to_dict(self._info).items() if value}
        port, database = parts.get("port", ""), parts.get("dbname")
        namespace = f"{database}|{schema}" if database else schema
        return Location(parts.get("host"), int(port) if port.isdecimal() else None, namespace)

    def pool_use(self) -> PoolUse | None:
        """Return the use of the connections, None where the pool is not open."""
        if self._pool is None:
            return None
        stats = self._pool.get_stats()
        return PoolUse(stats["pool_size"], stats["pool_available"], stats["pool_max"], stats.get("requests_waiting", 0))

    async def server(self) -> str:
        """Return the server's name and version."""
        async with self.use() as connection:
            row = await (await connection.execute(_SERVER)).fetchone()
        return f"PostgreSQL {row[0]}" if row else "PostgreSQL"

    async def _check(self, connection: Connection) -> None:
        """Refuse a connection that its server has closed; the others are likely to be closed too, so replace them all.

        (Else each is found in its turn, and the pool waits longer before each next one.)
        """
        if _hung_up(connection):
            if self._pool is not None:
                await self._pool.drain()
            raise psycopg.OperationalError("the server closed the connection")


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
