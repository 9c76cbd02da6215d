"""What the remote adapter makes of a server that fails, hangs, or talks nonsense: a small HTTP server with no store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from persistence.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PersistenceError,
    SchemaMissingError,
    VectorStoreError,
    VectorStoreUnavailableError,
)
from persistence.vector.qdrant import make
from persistence.vector.qdrant.engine import Put
from persistence.vector.qdrant.remote import RemoteEngine, connector
from persistence.vector.qdrant.terms import Is
from tests.contract.vector.making import DIMENSION

POINT = "00000000-0000-0000-0000-000000000001"
#: Seconds that the adapter gives the server for one request, and those that a test gives the adapter.
TIMEOUT, PATIENCE = 1.0, 5.0

HELLO = {"title": "qdrant - vector search engine", "version": "1.16.0"}


def answer(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = [
        f"HTTP/1.1 {status} So",
        "content-type: application/json",
        f"content-length: {size}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def hello(said: object = HELLO) -> bytes:
    return answer(200, json.dumps(said).encode())


#: What the server sends, None: nothing, for ever; then it cuts the connection.
FAULTS: dict[str, bytes | None] = {
    "500": answer(500, b'{"status": {"error": "a panic"}}'),
    "503": answer(503, b"over there"),
    "hang": None,
    "cut": b"",
    "cut_inside": answer(200, b'{"result": ', length=1_000),
    "nonsense": answer(200, b"<html>\xff</html>"),
    "no_json": answer(200, b"<html>"),
    "other_json": answer(200, b'{"result": 7}'),
}


class Server:
    """Answers each request with ``said``, save the one for its version."""

    def __init__(self) -> None:
        self.said: bytes | None = b""
        self.hello: bytes | None = hello()
        self.requests: list[str] = []
        self.keys: list[str] = []
        self.url = ""
        self.silent = asyncio.Event()
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"qdrant://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with server:
                yield self
                self._gone.set()
        finally:
            self._gone.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length:")]
        await reader.readexactly(int(length[0]) if length else 0)
        path = head.split()[1]
        self.requests.append(path)
        self.keys += [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("api-key:")]
        said = self.hello if path == "/" else self.said
        if said is None:
            self.silent.set()
            await self._gone.wait()
        else:
            writer.write(said)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().running() as server:
        yield server


@pytest.fixture
async def engine(server: Server) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(connector(server.url, api_key=None, timeout=TIMEOUT))
    await engine.open()
    yield engine
    await engine.close()


async def write(engine: RemoteEngine) -> None:
    await engine.change("diptych", Put([Is("live", 1)], {"digest": 1}))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_write_that_got_no_answer(engine: RemoteEngine, server: Server, fault: str) -> None:
    """A write that reached the server, and was not acknowledged in words we know, has an unknown outcome, in time."""
    server.said = FAULTS[fault]
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OutcomeUnknownError):
            await write(engine)
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_read_that_got_no_answer(engine: RemoteEngine, server: Server, fault: str) -> None:
    """A read that got no answer is an error that may pass, in time, and never an absence."""
    server.said = FAULTS[fault]
    reads = [
        lambda: engine.get("diptych", [POINT]),
        lambda: engine.scroll("diptych", [], limit=1),
        lambda: engine.count("diptych", []),
        lambda: engine.shape("diptych"),
    ]
    for read in reads:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(VectorStoreUnavailableError):
                await read()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(401, b"{}"), ConfigurationError),
        (answer(403, b"{}"), ConfigurationError),
        (answer(404, b"{}"), SchemaMissingError),
        (answer(400, b"{}"), VectorStoreError),
        (answer(429, b"{}"), VectorStoreUnavailableError),
        (answer(429, b"{}", "retry-after: 3"), VectorStoreUnavailableError),
    ],
)
async def test_a_refusal_is_no_doubt(engine: RemoteEngine, server: Server, said: bytes, error: type) -> None:
    """What the server refused was not done: the error says why, for writes and reads alike."""
    server.said = said
    with pytest.raises(error):
        await write(engine)
    with pytest.raises(error):
        await engine.get("diptych", [POINT])


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_does_not_say_hello(server: Server, fault: str) -> None:
    """Opening a store on a server that fails raises one of our errors, in time, and the store can be closed."""
    server.hello = FAULTS[fault]
    store = make(server.url, timeout=TIMEOUT)
    begun = time.monotonic()
    with pytest.raises(PersistenceError):
        await store.open(model="test", dimension=DIMENSION)
    await store.close()
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("version", ["", "dev", "v2", "1"])
async def test_another_program_at_the_address(server: Server, version: str) -> None:
    """Something that answers, but says no version of Qdrant, is refused by name of what is wrong."""
    server.hello = hello({"title": "another", "version": version})
    with pytest.raises(ConfigurationError, match="no Qdrant server"):
        await make(server.url, timeout=TIMEOUT).open(model="test", dimension=DIMENSION)


async def test_a_write_that_is_cancelled(engine: RemoteEngine, server: Server) -> None:
    """A write cancelled while the server is silent ends at once, and the next call has a connection of its own."""
    server.said = None
    task = asyncio.create_task(write(engine))
    await server.silent.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.said = FAULTS["503"]
    with pytest.raises(VectorStoreUnavailableError):
        await engine.count("diptych", [])


async def test_the_key_is_sent_as_it_is(server: Server) -> None:
    """A key that stands escaped in the URL goes to the server unescaped."""
    engine = RemoteEngine(connector(server.url.replace("://", "://:a%2Fb%40c@"), api_key="not this", timeout=TIMEOUT))
    with pytest.warns(UserWarning, match="insecure"):
        await engine.open()
    await engine.close()
    assert server.keys == ["a/b@c"]
