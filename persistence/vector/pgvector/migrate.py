"""The schema: what is there, and how it is made or brought up to what this code knows.

An upgrade is one transaction under an advisory lock that is the same for every schema of the database, because
``CREATE EXTENSION`` is not safe against itself.
"""

from __future__ import annotations

from typing import NamedTuple

import psycopg

from persistence.errors import ConfigurationError, SchemaMissingError, SchemaTooNewError, VectorStoreConflictError
from persistence.postgres.migrate import apply_missing, lock, version
from persistence.sqlfiles import Migration
from persistence.vector.pgvector.connecting import Connection, conninfo, direct
from persistence.vector.pgvector.errors import translated
from persistence.vector.pgvector.queries import Queries, migrations

_SCHEMA = Queries("schema")
_OLDEST_SERVER = 140000
_OLDEST_EXTENSION = (0, 8)
_CONNECT_TIMEOUT = 5.0


class SchemaStatus(NamedTuple):
    """The schema's version, 0 where there is none, and the version that this code knows."""

    version: int
    known: int


class Extension(NamedTuple):
    """The installed extension: its version, the schema it lies in, the oid of its type ``vector``."""

    version: str
    schema: str
    oid: int


async def schema_status(
    url: str, *, schema: str = "diptych", connect_timeout: float = _CONNECT_TIMEOUT
) -> SchemaStatus:
    """Say which version of the schema is there. Changes nothing."""
    async with direct(conninfo(url, connect_timeout), connect_timeout) as connection:
        return await status(connection, schema)


async def upgrade(url: str, *, schema: str = "diptych", connect_timeout: float = _CONNECT_TIMEOUT) -> tuple[int, int]:
    """Make the schema, or bring it up to date; return the versions before and after.

    Raises SchemaTooNewError, ConfigurationError (no extension, no privilege).
    """
    async with direct(conninfo(url, connect_timeout), connect_timeout) as connection:
        return await migrate(connection, schema)


async def status(connection: Connection, schema: str) -> SchemaStatus:
    """Say which version of the schema is there."""
    return SchemaStatus(await version(connection, schema), migrations()[-1].version)


async def ensure(connection: Connection, schema: str, *, auto_upgrade: bool) -> Extension:
    """Check the schema, upgrade it where that is allowed and needed; return the extension it uses.

    Raises SchemaMissingError, SchemaTooNewError, ConfigurationError.
    """
    there, known = await status(connection, schema)
    if there < known and not auto_upgrade:
        what = f"is at version {there}, this diptych needs {known}" if there else "has not been made"
        raise SchemaMissingError(f"The schema {schema!r} {what}.")
    if there < known:
        await migrate(connection, schema)
    elif there > known:
        raise _too_new(schema, there, known)
    return await _checked_extension(connection)


async def migrate(connection: Connection, schema: str) -> tuple[int, int]:
    """Apply what is missing, in one transaction; return the versions before and after."""
    steps = migrations()
    try:
        async with connection.transaction():
            return await _migrate(connection, schema, steps)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"This database user may not make or change the schema {schema!r}.",
            hint="run `diptych schema upgrade` as a user who may, or GRANT CREATE ON DATABASE to this one",
        ) from error
    except psycopg.errors.UniqueViolation as error:
        raise VectorStoreConflictError("Another program was making the same schema or extension.") from error


async def _migrate(connection: Connection, schema: str, steps: list[Migration]) -> tuple[int, int]:
    await lock(connection)
    extension = await _installed_extension(connection)
    before, known = await apply_missing(connection, schema, steps, extension.schema), steps[-1].version
    if before > known:
        raise _too_new(schema, before, known)
    return before, known


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


def _too_new(schema: str, version: int, known: int) -> SchemaTooNewError:
    return SchemaTooNewError(f"The schema {schema!r} is at version {version}; this diptych knows {known} and older.")


async def open_schema(connection: Connection, schema: str, *, auto_upgrade: bool) -> Extension:
    """Do ``ensure``, and once more where another program was at it at the same time."""
    with translated():
        try:
            return await ensure(connection, schema, auto_upgrade=auto_upgrade)
        except VectorStoreConflictError:
            return await ensure(connection, schema, auto_upgrade=auto_upgrade)
