"""A schema of ours: which version of it is there, and how it is brought up to what the code knows.

An upgrade is one transaction under an advisory lock that is the same for every schema of the database, because
``CREATE EXTENSION`` is not safe against itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from persistence.postgres.connecting import Connection
from persistence.postgres.queries import Queries
from persistence.sqlfiles import Migration

_SCHEMA = Queries(__package__, "schema")


async def version(connection: Connection, schema: str) -> int:
    """Return the version of the schema that is there, 0 where there is none."""
    cursor = await connection.execute(_SCHEMA.get("migrations_exist"), {"schema": schema})
    return await _newest(connection, schema) if await cursor.fetchone() == (True,) else 0


async def lock(connection: Connection) -> None:
    """Keep other processes from changing any schema of ours in this database until the transaction ends."""
    await connection.execute(_SCHEMA.get("lock_schema"))


async def apply_missing(connection: Connection, schema: str, steps: Sequence[Migration], *beside: str) -> int:
    """Make the schema and apply what is missing; return the version before.

    Under the lock, in the caller's transaction. ``beside``: further schemas in which names are found.
    """
    await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    await connection.execute(_SCHEMA.get("search_path"), {"search_path": quoted(schema, *beside)})
    await connection.execute(_SCHEMA.get("create_migrations"))
    before = await _newest(connection, schema)
    for step in steps[before:]:
        await connection.execute(step.text, prepare=False)
        await connection.execute(_SCHEMA.get("record_migration"), {"version": step.version, "name": step.name})
    return before


async def _newest(connection: Connection, schema: str) -> int:
    query = _SCHEMA.get("schema_version", schema=sql.Identifier(schema))
    row = await (await connection.execute(query)).fetchone()
    return int(row[0]) if row else 0


def quoted(*schemas: str) -> str:
    """Return a search path of these schemas, temporary tables last so that none can stand in for one of ours."""
    names = [sql.Identifier(schema).as_string(None) for schema in dict.fromkeys(schemas)]
    return ", ".join([*names, "pg_temp"])
