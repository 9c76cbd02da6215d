"""A Neo4j that is away, refuses us, or comes back: which error says so, and that nothing of the password shows."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import pytest
from neo4j import exceptions as driver

from persistence.errors import (
    ConfigurationError,
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    GraphWriteExpiredError,
)
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.neo4j.address import parse
from persistence.graph.neo4j.faults import translate
from persistence.ports.graph import GraphWrite

SECRET = "pass/w:o@rd"  # noqa: S105 - what must never show


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
async def test_a_server_that_is_away(scheme):
    """Nobody listening is an outage, at ``open`` and at every call after it; closing works."""
    graph = Neo4jGraph(f"{scheme}://neo4j:secret@127.0.0.1:{free_port()}/neo4j", connect_timeout=1)
    for call in (graph.open, graph.ping, lambda: graph.counts(None)):
        with pytest.raises(GraphUnavailableError) as caught:
            await call()
        assert "secret" not in str(caught.value)
        assert caught.value.retryable
    await graph.close()


async def test_a_host_that_has_no_address():
    """A name that does not resolve is an outage."""
    graph = Neo4jGraph("bolt://nowhere.invalid", connect_timeout=1)
    with pytest.raises(GraphUnavailableError):
        await graph.open()
    await graph.close()


async def test_a_server_that_says_nothing():
    """A server that takes the connection and keeps still is an outage within the connection's timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        graph = Neo4jGraph(f"bolt://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=0.5)
        async with asyncio.timeout(10):
            with pytest.raises(GraphUnavailableError):
                await graph.open()
        await graph.close()


async def test_a_server_that_is_no_neo4j():
    """A server that speaks another language is an outage or a refusal, never a crash."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        graph = Neo4jGraph(f"bolt://127.0.0.1:{server.sockets[0].getsockname()[1]}", connect_timeout=1)
        with pytest.raises((GraphStoreError, ConfigurationError)):
            await graph.open()
        await graph.close()


async def test_a_graph_that_was_away_at_first(clean_neo4j):
    """Where ``open`` failed, the first call that finds the server makes up for it."""
    target = urlsplit(clean_neo4j)
    port = free_port()
    away = target._replace(netloc=f"{target.netloc.rpartition(':')[0]}:{port}", scheme="bolt").geturl()
    graph = Neo4jGraph(away, connect_timeout=5)
    with pytest.raises(GraphUnavailableError):
        await graph.open()
    through: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(target.hostname, target.port)
        through.append(asyncio.create_task(_pump(reader, there_writer)))
        through.append(asyncio.create_task(_pump(there_reader, writer)))

    async with await asyncio.start_server(pass_on, "127.0.0.1", port):
        assert "Neo4j" in await graph.ping()
        await graph.apply([GraphWrite("u", "m", 1, 0, None, None)], timeout=30)
        await graph.close()
        await asyncio.gather(*through)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def server_error(code: str) -> driver.Neo4jError:
    return driver.Neo4jError._hydrate_neo4j(code=code, message=f"user neo4j password {SECRET}")


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (server_error("Neo.ClientError.Security.Unauthorized"), GraphUnavailableError),
        (server_error("Neo.ClientError.Security.AuthenticationRateLimit"), GraphUnavailableError),
        (server_error("Neo.TransientError.Transaction.DeadlockDetected"), GraphConflictError),
        (server_error("Neo.TransientError.Transaction.LockClientStopped"), GraphConflictError),
        (server_error("Neo.TransientError.Transaction.Terminated"), GraphConflictError),
        (server_error("Neo.ClientError.Statement.EntityNotFound"), GraphConflictError),
        (server_error("Neo.ClientError.Schema.ConstraintValidationFailed"), GraphConflictError),
        (server_error("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"), GraphWriteExpiredError),
        (server_error("Neo.TransientError.General.DatabaseUnavailable"), GraphUnavailableError),
        (server_error("Neo.TransientError.General.MemoryPoolOutOfMemoryError"), GraphUnavailableError),
        (server_error("Neo.ClientError.Cluster.NotALeader"), GraphUnavailableError),
        (server_error("Neo.ClientError.Statement.SyntaxError"), GraphStoreError),
        (server_error("Neo.DatabaseError.General.UnknownError"), GraphStoreError),
        (driver.ServiceUnavailable(SECRET), GraphUnavailableError),
        (driver.SessionExpired(SECRET), GraphUnavailableError),
        (driver.IncompleteCommit(SECRET), GraphUnavailableError),
        (driver.ConnectionAcquisitionTimeoutError(SECRET), GraphUnavailableError),
        (driver.ConfigurationError(SECRET), ConfigurationError),
        (driver.ResultConsumedError(None, SECRET), GraphStoreError),
    ],
    ids=lambda value: getattr(value, "code", None) or getattr(value, "__name__", type(value).__name__),
)
def test_errors_are_told_by_class_and_code(error, ours):
    """Each of the driver's errors becomes one of ours, and its text, which may hold anything, is not repeated."""
    found = translate(error)
    assert type(found) is ours
    assert SECRET not in f"{found}{found.hint}"


def test_urls_are_taken_apart():
    """Credentials are decoded and stay out of the address, and so does encryption; database and routing stay."""
    found = parse("neo4j+s://ada%40x:pass%2Fw%3Ao%40rd@db.example:7777/my%20graph?policy=eu")
    assert found.uri == "neo4j://db.example:7777?policy=eu"
    assert found.tls is not None
    assert found.tls.checked
    assert (found.auth, found.database) == (("ada@x", SECRET), "my graph")
    assert SECRET not in repr(found)
    assert parse("bolt://[::1]").uri == "bolt://[::1]:7687"
    assert (parse("bolt://h").auth, parse("bolt://h/").database, parse("bolt://u@h").auth) == (None, None, ("u", ""))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "neo4j",
        "http://h",
        "neo4j://",
        "bolt://h:port",
        "bolt://h:99999",
        "bolt://h/a/b",
        "bolt://[::1",
        "bolt://h#x",
    ],
)
def test_urls_that_are_wrong(url):
    """A URL that cannot be meant is refused when the graph is made, without being shown."""
    with pytest.raises(ConfigurationError) as caught:
        Neo4jGraph(f"{url}")
    assert not url or f" {url} " not in str(caught.value)
