"""The graph on a real PostgreSQL: late writes, locks, cancellation, outages, its schema, its database."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence.errors import (
    ConfigurationError,
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    GraphWriteExpiredError,
)
from persistence.graph.postgres import PostgresGraph, ensure_database
from persistence.graph.postgres.errors import FAULTS
from persistence.ports.graph import GraphWrite
from persistence.ports.outbox import Key
from persistence.projection import bucket, project
from persistence.records import Memory

NOW = datetime(2024, 1, 1, tzinfo=UTC)
M = Key("u", "m")


def write(version: int, *names: str, memory_id: str = "m", **properties: Any) -> GraphWrite:
    entities = [{"name": name, "type": "Person", "properties": properties} for name in names]
    memory = Memory(
        id=memory_id, user_id="u", content="text", entities=entities, relationships=[],
        version=version, digest=0, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return GraphWrite("u", memory_id, version, bucket("u", memory_id), NOW, project(memory))


@pytest.fixture
async def graph(postgres_url: str, pg_schema: str) -> AsyncIterator[PostgresGraph]:
    graph = PostgresGraph(postgres_url, schema=pg_schema, pool_size=2)
    await graph.open()
    yield graph
    await graph.close()


@asynccontextmanager
async def locked(url: str, schema: str, table: str = "memories") -> AsyncIterator[None]:
    """Hold the lock of every row, as a writer who is not done yet. Raises LockNotAvailable where another holds one."""
    rows = sql.SQL("SELECT FROM {} FOR UPDATE NOWAIT").format(sql.Identifier(schema, table))
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(rows)
        yield
        await connection.rollback()


async def waiting(url: str, schema: str) -> None:
    """Wait until a call of ``apply_writes`` in this schema waits for a lock."""
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        async with asyncio.timeout(10):
            while await (await connection.execute(query)).fetchone() != (True,):  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.01)


# --- time -----------------------------------------------------------------------------------------------------------


async def test_the_servers_clock_refuses_a_late_write(graph):
    """A write that arrives late by the server's clock touches nothing; then the clock is measured anew."""
    assert graph._clock._offset is not None
    graph._clock._offset -= 60_000
    with pytest.raises(GraphWriteExpiredError):
        await graph.apply([write(1, "Ada")], timeout=30)
    assert await graph.read([M]) == {}
    assert await graph.entities("u", after=None, limit=9) == []
    (ack,) = await graph.apply([write(1, "Ada")], timeout=30)
    assert ack.version == 1


async def test_the_servers_clock_refuses_a_late_clear(graph):
    """A clear that arrives late by the server's clock takes nothing away; then the clock is measured anew."""
    await graph.apply([write(1, "Ada")], timeout=30)
    graph._clock._offset -= 60_000
    with pytest.raises(GraphWriteExpiredError):
        await graph.clear("u", limit=10, timeout=30)
    assert (await graph.read([M]))[M].live
    assert await graph.clear("u", limit=10, timeout=30) == 1


async def test_a_clear_does_not_wait_beyond_its_time(graph, postgres_url, pg_schema):
    """A clear that waits for another's lock is undone by the server when its time has passed."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with locked(postgres_url, pg_schema):
        with pytest.raises(GraphWriteExpiredError):
            await graph._clear({"user_id": "u", "limit": 10}, 0.3)
    assert (await graph.read([M]))[M].live


async def test_a_write_does_not_wait_beyond_its_time(graph, postgres_url, pg_schema):
    """A write that waits for another one's lock is undone when its time has passed, and comes to nothing later."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with locked(postgres_url, pg_schema):
        with pytest.raises((GraphWriteExpiredError, GraphUnavailableError)):
            await graph.apply([write(2, "Bob")], timeout=0.3)
    assert (await graph.read([M], locked=True))[M].version == 1
    assert [entity.name for entity in await graph.entities("u", after=None, limit=9)] == ["Ada"]


async def test_the_server_undoes_a_write_whose_client_is_gone(graph, postgres_url, pg_schema):
    """The server itself ends the wait for a lock at the write's time, whatever has become of who sent it."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with locked(postgres_url, pg_schema):
        with pytest.raises(GraphWriteExpiredError) as caught:
            await graph._apply([write(2, "Bob")], 0.3)
    assert isinstance(caught.value.__cause__, psycopg.errors.LockNotAvailable)
    assert (await graph.read([M]))[M].version == 1


async def test_a_cancelled_write_leaves_nothing_half_done(graph, postgres_url, pg_schema):
    """Cancelled while it waits, a write is undone, and its connection serves the next call."""
    await graph.apply([write(1, "Ada")], timeout=30)
    for _ in range(4):
        async with locked(postgres_url, pg_schema):
            task = asyncio.create_task(graph.apply([write(2, "Bob")], timeout=30))
            await waiting(postgres_url, pg_schema)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert (await graph.read([M], locked=True))[M].version == 1
    (ack,) = await graph.apply([write(3, "Bob")], timeout=30)
    assert ack.version == 3


async def test_a_write_that_waited_reads_what_the_other_left(graph, postgres_url, pg_schema):
    """A write that waited for a newer one is refused by the version it left."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        raised = sql.SQL("UPDATE {}.memories SET version = 9").format(sql.Identifier(pg_schema))
        await connection.execute(raised)
        task = asyncio.create_task(graph.apply([write(5, "Bob")], timeout=30))
        await waiting(postgres_url, pg_schema)
        await connection.commit()
    (ack,) = await task
    assert (ack.verdict.value, ack.version) == ("newer", 9)
    assert [entity.name for entity in await graph.entities("u", after=None, limit=9)] == ["Ada"]


async def test_a_write_keeps_the_version_that_it_read(graph, postgres_url, pg_schema):
    """From its read of a version to its end a write lets nobody change that memory. Guard: the row's lock."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with locked(postgres_url, pg_schema, "mentions"):
        task = asyncio.create_task(graph.apply([write(5, "Bob")], timeout=30))
        await waiting(postgres_url, pg_schema)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            async with locked(postgres_url, pg_schema):
                pass
    (ack,) = await task
    assert (ack.verdict.value, ack.version) == ("applied", 5)


async def test_a_locked_read_waits_for_who_is_writing(graph, postgres_url, pg_schema):
    """A locked read answers once the writer is done; another read does not wait."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with locked(postgres_url, pg_schema):
        assert (await graph.read([M]))[M].version == 1
        task = asyncio.create_task(graph.read([M], locked=True))
        await waiting(postgres_url, pg_schema)
        assert not task.done()
    assert (await task)[M].version == 1


# --- outages --------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_a_server_that_is_away():
    """Nobody listening is an outage, at ``open`` and at every call after it, without the password; closing works."""
    graph = PostgresGraph(f"postgresql://ada:secret@127.0.0.1:{free_port()}/db", connect_timeout=1)
    for call in (graph.open, graph.ping, lambda: graph.counts(None), lambda: graph.apply([write(1)], timeout=5)):
        with pytest.raises(GraphUnavailableError) as caught:
            await call()
        assert "secret" not in str(caught.value)
    await graph.close()


async def test_a_server_that_says_nothing():
    """A server that takes the connection and keeps still is an outage within the connection's timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        graph = PostgresGraph(f"postgresql://127.0.0.1:{listener.getsockname()[1]}/db", connect_timeout=0.5)
        async with asyncio.timeout(10):
            with pytest.raises(GraphUnavailableError):
                await graph.open()
        await graph.close()


async def test_before_and_after(postgres_url, pg_schema):
    """A graph that was not opened yet, or was closed, is used by nobody; opened again it is what it was."""
    graph = PostgresGraph(postgres_url, schema=pg_schema)
    with pytest.raises(GraphUnavailableError):
        await graph.counts(None)
    await graph.open()
    await graph.apply([write(1, "Ada")], timeout=30)
    await graph.close()
    with pytest.raises(GraphUnavailableError):
        await graph.apply([write(2, "Ada")], timeout=30)
    await graph.open()
    assert (await graph.read([M]))[M].version == 1
    await graph.close()


async def test_connections_that_the_server_closed_are_replaced(graph, postgres_url):
    """After the server has ended every session the graph works again, at the second call at the latest."""
    await graph.apply([write(1, "Ada")], timeout=30)
    async with graph._sessions.use() as one, graph._sessions.use() as other:
        pids = [connection.info.backend_pid for connection in (one, other)]
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS p (pid)", [pids])
    (ack,) = await graph.apply([write(2, "Ada")], timeout=30)
    assert ack.version == 2


def state(code: str) -> psycopg.Error:
    return psycopg.errors.lookup(code)("secret")


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (state("40P01"), GraphConflictError),
        (state("40001"), GraphConflictError),
        (state("23503"), GraphConflictError),
        (state("55P03"), GraphWriteExpiredError),
        (state("57014"), GraphUnavailableError),
        (state("57P01"), GraphUnavailableError),
        (state("08007"), GraphUnavailableError),
        (state("53100"), GraphUnavailableError),
        (state("42501"), GraphStoreError),
        (state("42P01"), GraphStoreError),
        (psycopg.OperationalError("secret"), GraphUnavailableError),
        (psycopg.DataError("secret"), GraphStoreError),
    ],
)
def test_errors_are_the_graphs_own(error, ours):
    """Whatever PostgreSQL says, a graph raises a graph's error, its text never repeated; a lost answer is an outage."""
    for wrote in (False, True):
        found = FAULTS.translate(error, write=wrote)
        assert type(found) is ours
        assert "secret" not in found.message


def test_a_url_that_is_none():
    """A URL that libpq does not understand is refused when the graph is made."""
    with pytest.raises(ConfigurationError):
        PostgresGraph("postgresql://host/db?colour=red")


# --- schema and database --------------------------------------------------------------------------------------------


async def test_many_make_the_schema_at_once(postgres_url, pg_schema):
    """Of processes that open a new graph at once one makes the schema, and all of them work."""
    graphs = [PostgresGraph(postgres_url, schema=pg_schema, pool_size=1) for _ in range(5)]
    await asyncio.gather(*(graph.open() for graph in graphs))
    assert {(await graph.counts(None)).memories for graph in graphs} == {0}
    for graph in graphs:
        await graph.close()


async def test_a_schema_that_is_newer(graph, postgres_url, pg_schema):
    """A schema that a newer release has upgraded is refused with what to do."""
    async with graph._sessions.use() as connection:
        await connection.execute("INSERT INTO schema_migrations (version) VALUES (99)")
    other = PostgresGraph(postgres_url, schema=pg_schema)
    with pytest.raises(GraphStoreError) as caught:
        await other.open()
    assert "version 99" in caught.value.message
    await other.close()


async def test_a_database_that_is_missing(postgres_url):
    """A database that is not there is an outage that names it; made, by many at once, it is there once."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        urls = await asyncio.gather(*(ensure_database(postgres_url, name) for _ in range(4)))
        assert len(set(urls)) == 1
        graph = PostgresGraph(urls[0])
        await graph.open()
        assert (await graph.counts(None)).memories == 0
        await graph.close()
        missing = PostgresGraph(urls[0].replace(name, f"{name}x"))
        with pytest.raises(GraphUnavailableError) as caught:
            await missing.open()
        assert f"{name}x" in caught.value.message
        await missing.close()
    finally:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def test_properties_keep_what_json_keeps(graph):
    """A float without a fraction stays a float, however large, and text in a property stays what it was."""
    said = {"large": 1e300, "whole": 2.0, "tiny": 5e-324, "text": 'a "b" \\ \u2028 😀'}
    await graph.apply([write(1, "Ada", **said)], timeout=30)
    found = (await graph.read([M]))[M].entities[0].properties
    assert found == said
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in said.items()}
