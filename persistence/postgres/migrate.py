"""A schema of ours: which steps of it were applied, and how the others are, or are taken back.

Whoever changes a schema holds a lock of its name. A step is one transaction, and its record a part of it: so a step
that was cut short never was, and the next one who comes goes on with it. Steps that build indexes while others write
are none; their statements may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from persistence.ports.schema import Phase, SchemaState, Step, refuse_one_way, state_of
from persistence.postgres.connecting import Connection
from persistence.postgres.queries import Queries
from persistence.sqlfiles import Migration, statements

_SCHEMA = Queries(__package__, "schema")
#: Seconds between two looks whether the other one is done.
_PAUSE = 0.05
#: Milliseconds for which a step waits for a table's lock, and so holds up others; how often; seconds in between.
_PATIENCE, _ATTEMPTS, _REST = "2000", 5, 1.0


@dataclass(frozen=True, slots=True)
class Tables:
    """A schema's name, and the steps that lead to it. ``beside``: further schemas in which names are found."""

    schema: str
    steps: Sequence[Migration]
    beside: tuple[str, ...] = ()

    @property
    def search_path(self) -> str:
        """Where names are found."""
        return quoted(self.schema, *self.beside)


async def state(connection: Connection, tables: Tables) -> SchemaState:
    """Say which steps were applied. Changes nothing."""
    cursor = await connection.execute(_SCHEMA.get("migrations_exist"), {"schema": tables.schema})
    there = await cursor.fetchone() == (True,)
    return state_of(await _applied(connection, tables.schema) if there else [], tables.steps)


async def _applied(connection: Connection, schema: str) -> list[Step]:
    rows = await connection.execute(_SCHEMA.get("applied", schema=sql.Identifier(schema)))
    return [Step(version, name, _phase(phase)) async for version, name, phase in rows]


def _phase(name: str) -> Phase:
    """Return a phase by its name; one that we do not know is for code newer than ours."""
    return Phase.PRE if name == Phase.PRE else Phase.POST


async def lock(connection: Connection) -> None:
    """Keep other processes from changing any schema of ours in this database until the transaction ends.

    It is the same for all of them, because ``CREATE EXTENSION`` is not safe against itself.
    """
    await connection.execute(_SCHEMA.get("lock_schema"))


async def apply(connection: Connection, tables: Tables, phases: Collection[Phase]) -> list[Step]:
    """Make the schema where it is missing, apply the steps of these phases that are due, and return them."""
    async with _alone(connection, tables.schema):
        due = (await state(connection, tables)).due(phases)
        for step in due:
            await _patiently(connection, tables, tables.steps[step.version - 1], forward=True)
    return list(due)


async def revert(connection: Connection, tables: Tables, to: int) -> list[Step]:
    """Take steps back down to a version, the newest first, and return them. Raises ConfigurationError."""
    async with _alone(connection, tables.schema):
        found = await state(connection, tables)
        going = [step for step in reversed(tables.steps) if to < step.version <= found.version]
        refuse_one_way(found, going, to)
        for step in going:
            await _patiently(connection, tables, step, forward=False)
    return [Step(*step[:3]) for step in going]


@asynccontextmanager
async def _alone(connection: Connection, schema: str) -> AsyncIterator[None]:
    while await (await connection.execute(_SCHEMA.get("try_lock"), {"schema": schema})).fetchone() != (True,):  # noqa: ASYNC110
        await asyncio.sleep(_PAUSE)  # another process has it, so no event of ours can tell
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is lost holds no lock, and says so by the error before
            await connection.execute(_SCHEMA.get("unlock"), {"schema": schema})


async def _patiently(connection: Connection, tables: Tables, step: Migration, *, forward: bool) -> None:
    """Do one step, and once more where somebody holds a table: nobody else shall wait behind us for long.

    Raises LockNotAvailable.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _do(connection, tables, step, forward=forward)
        except psycopg.errors.LockNotAvailable:
            if attempt == _ATTEMPTS:
                raise
        await asyncio.sleep(_REST)
    return None


async def _do(connection: Connection, tables: Tables, step: Migration, *, forward: bool) -> None:
    text = step.text if forward else step.back or b""
    if (parts := statements(text)) is not None:
        await connection.execute(_SCHEMA.get("session_search_path"), {"search_path": tables.search_path})
        for part in parts:
            await connection.execute(part, prepare=False)
        text = b""
    async with connection.transaction():
        await lock(connection)
        await connection.execute(_SCHEMA.get("limit_waits"), {"timeout": _PATIENCE})
        await _enter(connection, tables)
        if text:
            await connection.execute(text, prepare=False)
        record = "record_migration" if forward else "forget_migration"
        parameters = {"version": step.version, "name": step.name, "phase": step.phase.value}
        await connection.execute(_SCHEMA.get(record), parameters)


async def _enter(connection: Connection, tables: Tables) -> None:
    """Make the schema and its list where they are missing, and find names there until the transaction ends."""
    await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(tables.schema)))
    await connection.execute(_SCHEMA.get("search_path"), {"search_path": tables.search_path})
    await connection.execute(_SCHEMA.get("create_migrations"))
    await connection.execute(_SCHEMA.get("add_phases"))


def quoted(*schemas: str) -> str:
    """Return a search path of these schemas, temporary tables last so that none can stand in for one of ours."""
    names = [sql.Identifier(schema).as_string(None) for schema in dict.fromkeys(schemas)]
    return ", ".join([*names, "pg_temp"])
