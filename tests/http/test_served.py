"""The application behind a real server, on a real socket: bodies in pieces, streams, and the end of the server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.http import ApiConfig, Host, create_app, hosting
from api.http.caller import is_loopback
from api.http.serving import Stop, listen, serve, url_of
from persistence import AsyncPersistenceService
from persistence.errors import ConfigurationError
from tests.faults.stores import until

pytestmark = pytest.mark.usefixtures("demo")


class Served:
    def __init__(self, url: str, host: Host, stop: Stop, serving: asyncio.Task[None]) -> None:
        self.url, self.host, self.stop, self.serving = url, host, stop, serving


@asynccontextmanager
async def served(memories: AsyncPersistenceService, **settings: Any) -> AsyncIterator[Served]:
    """Serve on a free port; leave no server behind."""
    config = ApiConfig(**{"drain_delay": 0.0, "port": 0, **settings})
    stop, ready = Stop(), asyncio.Event()
    async with hosting(memories, config) as host:
        with await listen(config.host, config.port, may=is_loopback) as at:
            serving = asyncio.create_task(serve(create_app(host), host, at, stop, ready=ready.set))
            await asyncio.wait_for(ready.wait(), 10)
            yield Served(url_of(at), host, stop, serving)
            stop.come()
            await asyncio.wait_for(serving, 10)


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_body_in_pieces(memories: AsyncPersistenceService):
    """A body that does not say its length is cut off where it is too long, over a real connection as well."""
    async with served(memories, max_body_bytes=4_096) as server, httpx.AsyncClient(base_url=server.url) as http:
        sent = {"Content-Type": "application/json"}
        answer = await http.post("/demo/write", content=pieces(64, 1_024), headers=sent)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:diptych:problem:body-too-large")
        assert (await http.get("/demo/read")).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/demo/read", "/nothing", "/demo/write"])
async def test_head(memories: AsyncPersistenceService, path: str):
    """HEAD is answered as GET is, without the body, and the connection goes on."""
    async with served(memories) as server, httpx.AsyncClient(base_url=server.url) as http:
        got, head = await http.get(path), await http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
        assert (await http.get("/livez")).status_code == 200


async def test_head_of_a_stream(memories: AsyncPersistenceService):
    """HEAD of a stream that would go on for ever is answered at once, and nothing of it stays behind."""
    async with served(memories) as server, httpx.AsyncClient(base_url=server.url) as http:
        head = await http.head("/demo/events")
        assert (head.status_code, head.headers["Content-Type"].partition(";")[0]) == (200, "text/event-stream")
        await until(lambda: _idle(server), what="the stream has ended")


async def _idle(server: Served) -> bool:
    return not server.host.drain._requests


async def test_under_a_path(memories: AsyncPersistenceService):
    """Behind a proxy that shows it under a path, the server's paths and its probes are what they are without."""
    async with served(memories, root_path="/diptych") as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/demo/read")).status_code == 200
        assert (await http.get("/openapi.json")).json()["servers"] == [{"url": "/diptych"}]


async def test_a_client_that_goes_away(memories: AsyncPersistenceService):
    """A client that goes away in the middle of its body, or sends what is no HTTP, harms nobody else."""
    async with served(memories) as server, httpx.AsyncClient(base_url=server.url) as http:
        address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
        for said in (
            b"POST /demo/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
            b"\x16\x03\x01\x00",
        ):
            _, writer = await asyncio.open_connection(*address)
            writer.write(said)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await http.get("/demo/read")).status_code == 200


async def test_streams_end_with_the_server(memories: AsyncPersistenceService):
    """A stream of events that would go on for ever ends as a whole answer does when the server ends."""
    async with served(memories) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with http.stream("GET", "/demo/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "data: begun"
            server.stop.come()
            assert [line async for line in lines] == [""]
        await asyncio.wait_for(server.serving, 10)


async def test_not_ready_before_it_ends(memories: AsyncPersistenceService):
    """Told to stop, the server says first that it is not ready, and serves what still comes; then it is gone."""
    async with served(memories, drain_delay=30) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/readyz")).status_code == 200
        server.stop.come()
        await until(lambda: _unready(http), what="the server is not ready any more")
        assert (await http.get("/demo/read")).status_code == 200
        server.stop.come()
        await asyncio.wait_for(server.serving, 10)
        with pytest.raises(httpx.ConnectError):
            await http.get("/livez")


async def test_what_does_not_end_in_time(memories: AsyncPersistenceService):
    """A request that does not come to its end is broken off, and told so, before the server ends."""
    async with served(memories, drain_timeout=0.2) as server, httpx.AsyncClient(base_url=server.url) as http:
        asked = asyncio.create_task(http.post("/demo/slow", timeout=20))
        await until(lambda: _under_way(server), what="the request is under way")
        server.stop.come()
        answer = await asyncio.wait_for(asked, 10)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:diptych:problem:outcome-unknown")
        await asyncio.wait_for(server.serving, 10)


async def _under_way(server: Served) -> bool:
    return bool(server.host.drain._requests)


async def _unready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 503


async def test_a_port_in_use():
    """A port that is taken is a sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1: Address already in use"):
            await listen("127.0.0.1", port, may=is_loopback)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104  # refused is what is tested
async def test_addresses_that_others_can_reach(host: str):
    """An address that other machines can reach is refused before anything listens on it."""
    with pytest.raises(ConfigurationError, match="this machine only") as caught:
        await listen(host, 0, may=is_loopback)
    assert "diptych keys create" in str(caught.value.hint)


async def test_ipv6():
    """An IPv6 address of this machine is listened on, and its URL is one."""
    if not socket.has_ipv6:
        pytest.skip("This machine has no IPv6.")
    try:
        listener = await listen("::1", 0, may=is_loopback)
    except ConfigurationError as error:
        pytest.skip(f"This machine has no IPv6: {error.message}")
    with listener:
        assert url_of(listener).startswith("http://[::1]:")
