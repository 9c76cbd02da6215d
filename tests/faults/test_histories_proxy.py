"""The proxy that histories put between processes and stores, before a server that answers what it is sent."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from tests.faults.histories.proxy import DEAF_TO_ANSWERS, FINE, TO_SERVER, Proxy, Weather


class Echo:
    """A server that keeps what it was sent, and sends it back."""

    def __init__(self) -> None:
        self.got = b""

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                async for data in stream:
                    self.got += data
                    await stream.send(data)
            except anyio.BrokenResourceError:
                return

    async def has(self, data: bytes) -> None:
        """Wait until it has got this."""
        with anyio.fail_after(10):
            while self.got != data:  # noqa: ASYNC110 - nobody tells us
                await anyio.sleep(0.005)


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Echo, Proxy, SocketStream]]:
    """Have the server, the proxy before it, and one connection through it that has worked."""
    echo = Echo()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, echo.serve)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database's
        async with (
            Proxy(f"bolt://user:word@127.0.0.1:{port}/db", 7687).serving() as proxy,
            await anyio.connect_tcp("127.0.0.1", proxy.port) as client,
        ):
            await client.send(b"1")
            assert await client.receive() == b"1"
            yield echo, proxy, client
        tg.cancel_scope.cancel()


async def test_a_url_through_the_proxy_is_the_server_s_but_for_its_place() -> None:
    """User, password and database stay; a socket's folder in the query, which is a place too, goes."""
    async with proxied() as (_, proxy, _client):
        assert proxy.url == f"bolt://user:word@127.0.0.1:{proxy.port}/db"
        over_socket = Proxy("postgresql://postgres@/postgres?host=/tmp/x&port=5433&application_name=a%20b", 5432)
        over_socket.port = 1
        assert over_socket.url == "postgresql://postgres@127.0.0.1:1/postgres?application_name=a%20b"


async def test_a_cut_is_an_end_and_a_reset_is_an_error() -> None:
    """A connection that is cut ends as if the server had closed it; one that is reset breaks."""
    async with proxied() as (_, proxy, client):
        assert proxy.cut() == 1
        with pytest.raises(anyio.EndOfStream):
            await client.receive()
    async with proxied() as (_, proxy, client):
        assert proxy.cut(reset=True) == 1
        with pytest.raises(anyio.BrokenResourceError):
            await client.receive()


async def test_what_meets_deafness_arrives_once_it_ends() -> None:
    """While the proxy is deaf nothing passes, and what was on its way arrives after that."""
    async with proxied() as (echo, proxy, client):
        proxy.weather = Weather(delay=math.inf, ways=frozenset({TO_SERVER}))
        await client.send(b"2")
        with anyio.move_on_after(0.1):
            await client.receive()
        assert echo.got == b"1"
        proxy.weather = FINE
        assert await client.receive() == b"2"


async def test_an_answer_is_lost_whose_request_was_heard() -> None:
    """Deaf to answers and then reset, a proxy loses the acknowledgement of what the server has done."""
    async with proxied() as (echo, proxy, client):
        proxy.weather = DEAF_TO_ANSWERS
        await client.send(b"2")
        await echo.has(b"12")
        proxy.cut(reset=True)
        with pytest.raises(anyio.BrokenResourceError):
            await client.receive()


async def test_a_drip_loses_no_byte() -> None:
    """Bytes that drip arrive all, in their order."""
    async with proxied() as (echo, proxy, client):
        proxy.weather = Weather(delay=0.001, piece=3)
        await client.send(bytes(range(100)))
        await echo.has(b"1" + bytes(range(100)))


async def test_a_server_that_is_down_is_down_through_the_proxy() -> None:
    """Where the server does not listen the proxy ends the connection, and listens on."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database's
    async with Proxy(f"bolt://127.0.0.1:{port}", 7687).serving() as proxy:
        for _ in range(2):
            async with await anyio.connect_tcp("127.0.0.1", proxy.port) as client:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await client.receive()
