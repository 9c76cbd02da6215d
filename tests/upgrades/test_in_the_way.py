"""Steps that are held up, cut short or killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from persistence import AsyncPersistenceService
from persistence.errors import PersistenceError, VectorStoreConflictError
from persistence.ports.schema import Phase
from persistence.postgres import migrate
from tests.upgrades.conftest import House
from tests.upgrades.steps import following, today

PRE = (Phase.PRE,)
_BUILDING: LiteralString = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY memories_notes%' AND state = 'active'"
)


@asynccontextmanager
async def transaction(house: House, statement: LiteralString) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Leave a transaction open that has done something with the truth's tables."""
    url = house.config.vector_url
    assert url is not None
    async with await psycopg.AsyncConnection.connect(url.get_secret_value()) as connection:
        named = sql.SQL(statement).format(sql.Identifier(house.config.schema_name, "memories"))
        await connection.execute(named)
        yield connection
        await connection.rollback()


async def test_a_long_transaction(pgvector: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step waits only shortly for a table that somebody holds, then gives up: nobody queues behind it for long."""
    async with AsyncPersistenceService.connect(config=pgvector.config):
        pass  # the first connect shapes the table, which would wait, too
    monkeypatch.setattr(migrate, "_PATIENCE", "50")
    monkeypatch.setattr(migrate, "_REST", 0.01)
    new = pgvector.schema(following("pgvector"))
    async with transaction(pgvector, "SELECT count(*) FROM {}"):
        with pytest.raises(VectorStoreConflictError, match="long transaction"):
            await new.apply(PRE)
        assert (await new.state()).version == today("pgvector")
        async with AsyncPersistenceService.connect(config=pgvector.config) as memories:
            await memories.store("nobody waits", user_id="ada")
    assert [step.version for step in await new.apply(PRE)] == [7, 8]


async def _building(house: House) -> int:
    """Wait until the index is being built; return the process that does it."""
    url = house.config.vector_url
    assert url is not None
    async with await psycopg.AsyncConnection.connect(url.get_secret_value(), autocommit=True) as connection:
        while (row := await (await connection.execute(_BUILDING)).fetchone()) is None:
            await connection.execute("SELECT pg_sleep(0.02)")
        return int(row[0])


async def _terminate(house: House, pid: int) -> None:
    url = house.config.vector_url
    assert url is not None
    async with await psycopg.AsyncConnection.connect(url.get_secret_value(), autocommit=True) as connection:
        await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


async def _is_valid(house: House) -> bool | None:
    url = house.config.vector_url
    assert url is not None
    query = "SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass(%s)"
    async with await psycopg.AsyncConnection.connect(url.get_secret_value(), autocommit=True) as connection:
        row = await (await connection.execute(query, (f"{house.config.schema_name}.memories_notes",))).fetchone()
    return None if row is None else bool(row[0])


async def test_an_index_is_built_beside_writers(pgvector: House) -> None:
    """While an index is built concurrently memories are written; killed half-way it goes on from where it was."""
    async with AsyncPersistenceService.connect(config=pgvector.config) as memories:
        new = pgvector.schema([*following("pgvector")[:-2]])
        await new.apply(PRE)
        new = pgvector.schema(following("pgvector"))
        insert: LiteralString = "UPDATE {} SET note = note"
        await memories.store("before", user_id="ada")
        async with transaction(pgvector, insert):
            applying = asyncio.create_task(_attempt(new))
            pid = await _building(pgvector)
            await memories.store("meanwhile", user_id="ada")
            await _terminate(pgvector, pid)
            assert isinstance(await applying, PersistenceError)
        assert (await new.state()).version == 7
        assert await _is_valid(pgvector) is False
        assert [step.version for step in await new.apply(PRE)] == [8]
        assert await _is_valid(pgvector) is True
        assert len((await memories.get_all(user_id="ada")).memories) == 2


async def _attempt(schema: Any) -> object:
    try:
        return await schema.apply(PRE)
    except PersistenceError as error:
        return error


async def test_a_step_that_fails(house: House) -> None:
    """A step that fails leaves nothing behind, and what comes after it is not applied."""
    steps = following(house.kind)
    broken = [
        *steps[:-1],
        steps[-1]._replace(text=b"ALTER TABLE memories RENAME COLUMN content TO body;\nDROP TABLE nowhere;"),
    ]
    schema = house.schema(broken)
    await house.schema(None).apply((Phase.PRE, Phase.POST))
    await schema.apply(PRE)
    before = (await schema.state()).version
    with pytest.raises(PersistenceError):
        await schema.apply((Phase.POST,))
    assert (await schema.state()).version == before
    async with AsyncPersistenceService.connect(config=house.config) as memories:
        await memories.store("the old code goes on", user_id="ada")
