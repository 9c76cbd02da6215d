"""Connecting to Postgres, and the schema there."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from persistence.errors import (
    ConfigurationError,
    PersistenceError,
    SchemaMissingError,
    SchemaTooNewError,
    VectorStoreUnavailableError,
)
from persistence.vector.pgvector import PgVectorSchema, PgVectorStore
from persistence.vector.pgvector.queries import migrations

KNOWN = migrations()[-1].version


async def run(url: str, statement: str, *names: str) -> None:
    """Run one statement with these identifiers."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """Return the URL of a database that is the test's own, without the extension."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    await run(postgres_url, "CREATE DATABASE {}", name)
    yield make_conninfo(postgres_url, dbname=name)
    await run(postgres_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
async def role(postgres_url: str) -> AsyncIterator[str]:
    """Return a user without privileges."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    await run(postgres_url, "CREATE ROLE {} LOGIN PASSWORD 's3cret'", name)
    yield name
    await run(postgres_url, "DROP ROLE {}", name)


async def versions(url: str, schema: str) -> tuple[int, int]:
    """Return the version that is there, and the one that this code knows."""
    state = await PgVectorSchema(url, schema=schema).state()
    return state.version, state.known


async def test_upgrade(postgres_url: str, pg_schema: str) -> None:
    """An upgrade applies every step in its order, and a second one none."""
    own = PgVectorSchema(postgres_url, schema=pg_schema)
    assert await versions(postgres_url, pg_schema) == (0, KNOWN)
    assert [step.version for step in await own.apply()] == [step.version for step in migrations()]
    assert await own.apply() == []
    assert await versions(postgres_url, pg_schema) == (KNOWN, KNOWN)


async def test_two_processes_at_once(database: str) -> None:
    """Processes that make schemas at once, in a database without the extension, succeed: a lock keeps them apart."""
    code = (
        "import asyncio, sys; from persistence.vector.pgvector import PgVectorSchema;"
        "own = PgVectorSchema(sys.argv[1], schema=sys.argv[2], connect_timeout=30);"
        "print(len(asyncio.run(own.apply())))"
    )
    schemas = ["one", "one", "two"]
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, database, name, stdout=asyncio.subprocess.PIPE)
        for name in schemas
    ]
    applied = [int((await process.communicate())[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(applied[:2]) == [0, len(migrations())]
    assert applied[2] == len(migrations())


async def test_open_may_not_upgrade(postgres_url: str, pg_schema: str) -> None:
    """Where the first connect may not make the schema, it says that it is missing and how to make it."""
    store = PgVectorStore(postgres_url, schema=pg_schema, auto_upgrade=False)
    with pytest.raises(SchemaMissingError) as caught:
        await store.open(model="test", dimension=8)
    assert caught.value.hint == "diptych schema upgrade"
    assert await versions(postgres_url, pg_schema) == (0, KNOWN)


async def test_a_newer_schema(postgres_url: str, pg_schema: str) -> None:
    """A schema newer than the code is refused by open and by upgrade, and nothing is changed."""
    await PgVectorSchema(postgres_url, schema=pg_schema).apply()
    await run(postgres_url, "INSERT INTO {}.schema_migrations (version) VALUES (9999)", pg_schema)
    with pytest.raises(SchemaTooNewError):
        await PgVectorStore(postgres_url, schema=pg_schema).open(model="test", dimension=8)
    with pytest.raises(SchemaTooNewError):
        await PgVectorSchema(postgres_url, schema=pg_schema).apply()
    assert await versions(postgres_url, pg_schema) == (9999, KNOWN)


async def test_two_schemas_in_one_database(postgres_url: str, pg_schema: str) -> None:
    """A strange schema name is quoted, and two schemas of one database know nothing of each other."""
    strange = f'{pg_schema}", "x'
    stores = [PgVectorStore(postgres_url, schema=name) for name in (pg_schema, strange)]
    try:
        ids = {
            (await store.open(model=store.kind + str(i), dimension=8 + i)).store_id for i, store in enumerate(stores)
        }
        assert len(ids) == 2
    finally:
        for store in stores:
            await store.close()
        await run(postgres_url, "DROP SCHEMA {} CASCADE", strange)


@pytest.mark.parametrize(
    ("dimension", "index"), [(2_000, "present"), (2_001, "present"), (4_000, "present"), (4_001, "none")]
)
async def test_dimensions(postgres_url: str, pg_schema: str, dimension: int, index: str) -> None:
    """Up to 2,000 dimensions are indexed, up to 4,000 as halved floats; beyond, there is no vector index."""
    store = PgVectorStore(postgres_url, schema=pg_schema)
    try:
        assert (await store.open(model="test", dimension=dimension)).vector_index == index
    finally:
        await store.close()


async def test_too_many_dimensions(postgres_url: str, pg_schema: str) -> None:
    """More dimensions than the type holds are refused."""
    with pytest.raises(ConfigurationError):
        await PgVectorStore(postgres_url, schema=pg_schema).open(model="test", dimension=16_001)


async def failure(url: str, schema: str) -> PersistenceError:
    """Return what opening raises, which never shows the password."""
    store = PgVectorStore(url, schema=schema, connect_timeout=5)
    with pytest.raises(PersistenceError) as caught:
        await store.open(model="test", dimension=8)
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint
    await store.close()
    return caught.value


async def test_nobody_there(pg_schema: str) -> None:
    """A server that is not there is unavailable, and the message says where it was looked for."""
    error = await failure("postgresql://ada:s3cret@127.0.0.1:9/db", pg_schema)
    assert isinstance(error, VectorStoreUnavailableError)
    assert "127.0.0.1:9" in error.message


async def test_no_such_database(postgres_url: str, pg_schema: str) -> None:
    """A database that is not there is a matter of configuration, and is named."""
    error = await failure(make_conninfo(postgres_url, dbname="nowhere"), pg_schema)
    assert isinstance(error, ConfigurationError)
    assert "nowhere" in error.message


async def test_no_such_user(postgres_url: str, pg_schema: str) -> None:
    """A user whom the server refuses is told from a server that is not there."""
    error = await failure(make_conninfo(postgres_url, user="nobody", password="s3cret"), pg_schema)  # noqa: S106
    assert "refused" in error.message


async def test_no_url(pg_schema: str) -> None:
    """What is no PostgreSQL URL is refused when the store is made, without a connection."""
    with pytest.raises(ConfigurationError):
        PgVectorStore("postgresql://ada:s3cret@host:port:port/%zz", schema=pg_schema)


async def test_a_user_who_may_not(database: str, role: str) -> None:
    """A user who may not make a schema is told who can, and one who may not use it is told too."""
    weak = make_conninfo(database, user=role, password="s3cret")  # noqa: S106
    error = await failure(weak, "ours")
    assert isinstance(error, ConfigurationError)
    await PgVectorSchema(database, schema="ours").apply()
    error = await failure(weak, "ours")
    assert isinstance(error, ConfigurationError)


async def test_a_schema_made_by_another(database: str, role: str) -> None:
    """A user without the right to make anything can use a schema that its owner made and granted."""
    await PgVectorSchema(database, schema="ours").apply()
    owner = PgVectorStore(database, schema="ours")
    await owner.open(model="test", dimension=8)
    await owner.close()
    await run(database, "GRANT USAGE ON SCHEMA {} TO {}", "ours", role)
    await run(database, "GRANT ALL ON ALL TABLES IN SCHEMA {} TO {}", "ours", role)
    await run(database, "GRANT ALL ON ALL SEQUENCES IN SCHEMA {} TO {}", "ours", role)
    weak = PgVectorStore(make_conninfo(database, user=role, password="s3cret"), schema="ours")  # noqa: S106
    try:
        await weak.open(model="test", dimension=8)
        assert (await weak.count(None)).value == 0
    finally:
        await weak.close()
        await run(database, "DROP OWNED BY {}", role)


async def test_durability(database: str) -> None:
    """A truth whose commits are not durable says so, one sentence for each reason."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
    await run(database, "ALTER DATABASE {} SET synchronous_commit = off", name)
    store = PgVectorStore(database)
    try:
        await store.open(model="test", dimension=8)
        assert any("synchronous_commit" in sentence for sentence in await store.durability())
    finally:
        await store.close()
