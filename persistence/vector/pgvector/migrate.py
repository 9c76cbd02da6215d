"""The schema: what is there, and how it is made or brought up to what this code knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from persistence.errors import ConfigurationError, SchemaMissingError, SchemaTooNewError, VectorStoreConflictError
from persistence.ports.schema import BOTH, Phase, SchemaState, Step
from persistence.postgres import migrate as tables
from persistence.postgres.migrate import Tables, lock
from persistence.sqlfiles import Migration
from persistence.vector.pgvector.connecting import Connection, conninfo, direct
from persistence.vector.pgvector.errors import FAULTS, translated
from persistence.vector.pgvector.queries import Queries, migrations

_SCHEMA = Queries("schema")
_OLDEST_SERVER = 140000
_OLDEST_EXTENSION = (0, 8)
_CONNECT_TIMEOUT = 5.0


class Extension(NamedTuple):
    """The installed extension: its version, the schema it lies in, the oid of its type ``vector``."""

    version: str
    schema: str
    oid: int


class PgVectorSchema:
    """The tables of a truth, for whoever looks at them or changes them; ``steps`` are those of this code."""

    def __init__(
        self,
        url: str,
        *,
        schema: str = "diptych",
        connect_timeout: float = _CONNECT_TIMEOUT,
        steps: Sequence[Migration] | None = None,
    ) -> None:
        self._info = conninfo(url, connect_timeout)
        self._schema = schema
        self._connect_timeout = connect_timeout
        self._steps = steps or migrations()

    async def state(self) -> SchemaState:
        """Say what is there. Changes nothing."""
        async with direct(self._info, self._connect_timeout) as connection:
            return await tables.state(connection, Tables(self._schema, self._steps))

    async def apply(self, phases: Collection[Phase] = BOTH) -> list[Step]:
        """Apply what is due of these phases. Raises SchemaTooNewError, ConfigurationError (no extension, no right)."""
        async with direct(self._info, self._connect_timeout) as connection:
            return await _apply(connection, self._schema, self._steps, phases)

    async def revert(self, to: int) -> list[Step]:
        """Take steps back. Raises ConfigurationError."""
        async with direct(self._info, self._connect_timeout) as connection:
            extension = await _extension(connection)
            beside = () if extension is None else (extension.schema,)
            with _said(self._schema):
                return await tables.revert(connection, Tables(self._schema, self._steps, beside), to)


async def ensure(
    connection: Connection, schema: str, *, auto_upgrade: bool, steps: Sequence[Migration] | None = None
) -> Extension:
    """Check the schema, make it or apply what this code needs where that is allowed; return the extension it uses.

    What only takes away waits until it is asked for: older processes may be at work.
    Raises SchemaMissingError, SchemaTooNewError, ConfigurationError.
    """
    own = Tables(schema, steps or migrations())
    found = await tables.state(connection, own)
    if found.lacking and auto_upgrade:
        await _apply(connection, schema, own.steps, BOTH if found.version == 0 else (Phase.PRE,))
        found = await tables.state(connection, own)
    refuse_unusable(found, f"The schema {schema!r}")
    return await _checked_extension(connection)


def refuse_unusable(found: SchemaState, what: str) -> None:
    """Refuse tables that this code cannot work with. Raises SchemaMissingError, SchemaTooNewError."""
    if found.too_new:
        raise _too_new(found, what)
    if found.lacking and found.version == 0:
        raise SchemaMissingError(f"{what} has not been made.")
    if found.lacking and not found.due((Phase.PRE,)):
        raise SchemaMissingError(
            f"{what} is at version {found.version}, and before what this diptych needs comes the step"
            f" {found.pending[0]}, which older processes would not survive.",
            hint="end them, then: diptych schema upgrade",
        )
    if found.lacking:
        raise SchemaMissingError(f"{what} is at version {found.version}, this diptych needs {_needed(found)}.")


def _needed(found: SchemaState) -> int:
    return max(step.version for step in found.pending if step.phase is Phase.PRE)


@contextmanager
def _said(schema: str) -> Iterator[None]:
    """Say what stands in the way of a change of the schema."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"This database user may not make or change the schema {schema!r}.",
            hint="run `diptych schema upgrade` as a user who may, or GRANT CREATE ON DATABASE to this one",
        ) from error
    except psycopg.errors.UniqueViolation as error:
        raise VectorStoreConflictError("Another program was making the same schema or extension.") from error
    except psycopg.errors.LockNotAvailable as error:
        raise FAULTS.held_up() from error


async def _apply(
    connection: Connection, schema: str, steps: Sequence[Migration], phases: Collection[Phase]
) -> list[Step]:
    with _said(schema):
        found = await tables.state(connection, Tables(schema, steps))
        if found.too_new:
            raise _too_new(found, f"The schema {schema!r}")
        async with connection.transaction():
            await lock(connection)
            extension = await _installed_extension(connection)
        return await tables.apply(connection, Tables(schema, steps, (extension.schema,)), phases)


async def _installed_extension(connection: Connection) -> Extension:
    """Return the extension, installed where it was not."""
    if (found := await _extension(connection)) is None:
        await _require_files(connection)
        await connection.execute(_SCHEMA.get("create_extension"))
        found = await _extension(connection)
    if found is None:
        raise ConfigurationError("The extension `vector` was installed, but its type is nowhere to be found.")
    return found


async def _require_files(connection: Connection) -> None:
    row = await (await connection.execute(_SCHEMA.get("extension_available"))).fetchone()
    if row != (True,):
        raise ConfigurationError(
            "This PostgreSQL server does not have the extension `vector` (pgvector).",
            hint="install pgvector on the server (the package postgresql-NN-pgvector, or the image pgvector/pgvector)",
        )


async def _extension(connection: Connection) -> Extension | None:
    row = await (await connection.execute(_SCHEMA.get("extension"))).fetchone()
    return Extension(*row) if row else None


async def _checked_extension(connection: Connection) -> Extension:
    """Return the extension the schema uses. Raises ConfigurationError where it, or the server, is too old."""
    if connection.info.server_version < _OLDEST_SERVER:
        raise ConfigurationError("This PostgreSQL server is older than version 14.", hint="upgrade the server")
    extension = await _extension(connection)
    if extension is None:
        raise ConfigurationError("The extension `vector` is missing.", hint="CREATE EXTENSION vector")
    if tuple(int(part) for part in extension.version.split(".")[:2]) < _OLDEST_EXTENSION:
        raise ConfigurationError(
            f"pgvector {extension.version} is too old: diptych needs 0.8 or newer.",
            hint="install a newer pgvector on the server, then ALTER EXTENSION vector UPDATE",
        )
    return extension


def _too_new(found: SchemaState, what: str) -> SchemaTooNewError:
    return SchemaTooNewError(
        f"{what} is at version {found.version}; this diptych knows {found.known}, and a later step has taken away what"
        " it needs."
    )


async def open_schema(
    connection: Connection, schema: str, *, auto_upgrade: bool, steps: Sequence[Migration] | None = None
) -> Extension:
    """Do ``ensure``, and once more where another program was at it at the same time."""
    with translated():
        try:
            return await ensure(connection, schema, auto_upgrade=auto_upgrade, steps=steps)
        except VectorStoreConflictError:
            return await ensure(connection, schema, auto_upgrade=auto_upgrade, steps=steps)
