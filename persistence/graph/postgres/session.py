"""The graph's sessions: how they are set up, and how the schema is made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg

from persistence import sqlfiles
from persistence.errors import GraphStoreError
from persistence.graph.postgres.errors import FAULTS
from persistence.ports.schema import BOTH, Phase, SchemaState, Step
from persistence.postgres import migrate as tables
from persistence.postgres.arrays import Array, ArrayDumper
from persistence.postgres.connecting import Connection, conninfo, direct
from persistence.postgres.migrate import Tables, quoted
from persistence.postgres.pool import Pool
from persistence.postgres.queries import Queries
from persistence.sqlfiles import Migration

_CONFIGURE = Queries(__package__, "session").get("configure")
_OLDEST_SERVER = 140000
migrations = partial(sqlfiles.migrations, __package__)


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
    """Make the schema, or apply what this code needs; once more where another program was at it at the same time.

    What only takes away waits until it is asked for: older processes may be at work. Raises GraphStoreError.
    """
    own = Tables(schema, migrations())
    try:
        found = await _upgraded(connection, own)
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
        found = await _upgraded(connection, own)
    refuse_unusable(found, schema)


async def _upgraded(connection: Connection, own: Tables) -> SchemaState:
    found = await tables.state(connection, own)
    if found.lacking and not found.too_new:
        with _said():
            await tables.apply(connection, own, (Phase.PRE,) if found.version else BOTH)
        found = await tables.state(connection, own)
    return found


def refuse_unusable(found: SchemaState, schema: str) -> None:
    """Refuse tables that this code cannot work with. Raises GraphStoreError."""
    if found.too_new:
        raise GraphStoreError(
            f"The graph's schema {schema!r} is at version {found.version}; this diptych knows {found.known}, and a"
            " later step has taken away what it needs.",
            hint="upgrade diptych on this machine",
        )
    if found.lacking:
        raise GraphStoreError(
            f"Before what this diptych needs of the graph's schema {schema!r} comes the step {found.pending[0]}, which"
            " older processes would not survive.",
            hint="end them, then: diptych schema upgrade",
        )


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise FAULTS.held_up() from error


class GraphSchema:
    """The tables of a graph, for whoever looks at them or changes them; ``steps`` are those of this code."""

    def __init__(
        self, url: str, *, schema: str, connect_timeout: float = 5.0, steps: Sequence[Migration] | None = None
    ) -> None:
        self._info = conninfo(url, connect_timeout, FAULTS)
        self._connect_timeout = connect_timeout
        self._own = Tables(schema, steps or migrations())

    async def state(self) -> SchemaState:
        """Say what is there. Changes nothing."""
        async with direct(self._info, self._connect_timeout, FAULTS) as connection:
            return await tables.state(connection, self._own)

    async def apply(self, phases: Collection[Phase]) -> list[Step]:
        """Apply what is due of these phases."""
        async with direct(self._info, self._connect_timeout, FAULTS) as connection:
            with _said():
                return await tables.apply(connection, self._own, phases)

    async def revert(self, to: int) -> list[Step]:
        """Take steps back. Raises ConfigurationError."""
        async with direct(self._info, self._connect_timeout, FAULTS) as connection:
            with _said():
                return await tables.revert(connection, self._own, to)
