"""The graph's sessions: how they are set up, and how the schema is made."""

from __future__ import annotations

import psycopg

from persistence import sqlfiles
from persistence.errors import GraphStoreError
from persistence.graph.postgres.errors import FAULTS
from persistence.postgres.arrays import Array, ArrayDumper
from persistence.postgres.connecting import Connection, conninfo, direct
from persistence.postgres.migrate import apply_missing, lock, quoted, version
from persistence.postgres.pool import Pool
from persistence.postgres.queries import Queries

_CONFIGURE = Queries(__package__, "session").get("configure")
_OLDEST_SERVER = 140000


class Sessions(Pool):
    """Connections that are set up for the graph's queries. No I/O before ``open``."""

    def __init__(self, url: str, schema: str, size: int, connect_timeout: float, statement_timeout: float) -> None:
        super().__init__(conninfo(url, connect_timeout, FAULTS), size, connect_timeout, FAULTS)
        self._schema = schema
        self._statement_timeout = statement_timeout

    async def open(self) -> None:
        """Make the schema where it is missing or old, and open the pool. Raises GraphStoreError."""
        async with direct(self._info, self._connect_timeout, FAULTS) as connection:
            if connection.info.server_version < _OLDEST_SERVER:
                raise GraphStoreError("This PostgreSQL server is older than version 14.", hint="upgrade the server")
            await _ensure(connection, self._schema)
        await self._open()

    async def configure(self, connection: Connection) -> None:
        """Set up a session."""
        parameters = {"search_path": quoted(self._schema), "timeout": f"{self._statement_timeout * 1000:.0f}"}
        await connection.execute(_CONFIGURE, parameters)
        connection.adapters.register_dumper(Array, ArrayDumper)


async def _ensure(connection: Connection, schema: str) -> None:
    """Bring the schema up to what this code knows, and once more where another program was at it at the same time."""
    try:
        await _upgrade(connection, schema)
    except psycopg.errors.UniqueViolation:
        await _upgrade(connection, schema)


async def _upgrade(connection: Connection, schema: str) -> None:
    steps = sqlfiles.migrations(__package__)
    there = await version(connection, schema)
    if there < steps[-1].version:
        async with connection.transaction():
            await lock(connection)
            there = await apply_missing(connection, schema, steps)
    if there > steps[-1].version:
        raise GraphStoreError(
            f"The graph's schema {schema!r} is at version {there}; this diptych knows {steps[-1].version} and older.",
            hint="upgrade diptych on this machine",
        )
