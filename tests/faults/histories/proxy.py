"""A TCP proxy before a real server, which cuts, resets, delays, drips and goes deaf as it is told."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from anyio.abc import AsyncResource, SocketAttribute, SocketStream

CHUNK = 65_536
#: What of a connection is gone when a side ends it or loses it.
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
TO_SERVER, TO_CLIENT = "to the server", "to the client"
BOTH = frozenset({TO_SERVER, TO_CLIENT})


@dataclass(frozen=True)
class Weather:
    """What happens to bytes on their way: each piece, of so many bytes, waits ``delay`` seconds.

    An infinite delay is deafness: connections stay open, and nothing passes until the weather is fine again.
    """

    delay: float = 0.0
    piece: int = CHUNK
    ways: frozenset[str] = BOTH

    def touches(self, way: str) -> bool:
        """Say whether bytes that go this way have to wait."""
        return self.delay > 0 and way in self.ways


FINE = Weather()
#: So that an answer never arrives, whose request did: what a lost acknowledgement is.
DEAF_TO_ANSWERS = Weather(delay=math.inf, ways=frozenset({TO_CLIENT}))


class UnixStream(AsyncResource):
    """A Unix socket by asyncio's streams: those of anyio log an error where a wait is cancelled as it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self, max_bytes: int) -> bytes:
        """Return what has come. Raises EndOfStream."""
        if data := await self._reader.read(max_bytes):
            return data
        raise anyio.EndOfStream

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        """Close the socket at once."""
        self._writer.transport.abort()


Stream = SocketStream | UnixStream


class Proxy:
    """Listens on a port of its own, which stays the same, and passes on what it is sent to a server's URL."""

    def __init__(self, url: str, default_port: int) -> None:
        self._given = urlsplit(url)
        self._default_port = default_port
        self._weather = FINE
        self._changed = anyio.Event()
        self._open: set[_Connection] = set()
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Pass connections on inside the block."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tg:
            self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database's
            tg.start_soon(listener.serve, self._serve)
            yield self
            tg.cancel_scope.cancel()

    @property
    def url(self) -> str:
        """The server's URL as it is through the proxy."""
        user, mark, _ = self._given.netloc.rpartition("@")
        query = "&".join(f"{k}={quote(v[0])}" for k, v in self._query.items() if k not in {"host", "port"})
        return self._given._replace(netloc=f"{user}{mark}127.0.0.1:{self.port}", query=query).geturl()

    @property
    def weather(self) -> Weather:
        """What happens to bytes on their way now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = anyio.Event()

    def cut(self, *, reset: bool = False) -> int:
        """End every connection, by an orderly end or by a reset; return how many there were."""
        ended = list(self._open)
        for connection in ended:
            connection.end(reset=reset)
        return len(ended)

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(self._given.query)

    async def _connect(self) -> Stream:
        port = self._given.port or int(self._query.get("port", [str(self._default_port)])[0])
        if folder := self._query.get("host"):
            return UnixStream(*await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.{port}"))
        return await anyio.connect_tcp(self._given.hostname or "127.0.0.1", port)

    async def _serve(self, client: SocketStream) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            try:
                server = await stack.enter_async_context(await self._connect())
            except OSError:
                return  # the server is down: so is the connection
            connection = _Connection(client, server)
            self._open.add(connection)
            stack.callback(self._open.discard, connection)
            await self._pass_on(connection)

    async def _pass_on(self, connection: _Connection) -> None:
        async with anyio.create_task_group() as tg:
            connection.scope = tg.cancel_scope
            tg.start_soon(self._pump, connection, connection.client, connection.server, TO_SERVER)
            tg.start_soon(self._pump, connection, connection.server, connection.client, TO_CLIENT)

    async def _pump(self, connection: _Connection, source: Stream, target: Stream, way: str) -> None:
        try:
            while True:
                await self._pass(await source.receive(CHUNK), target, way)
        except GONE:
            connection.end()

    async def _pass(self, data: bytes, target: Stream, way: str) -> None:
        while data:
            weather = self._weather
            if weather.touches(way):
                await self._wait(weather.delay)
                if math.isinf(weather.delay):
                    continue
            size = weather.piece if weather.touches(way) else CHUNK
            await target.send(data[:size])
            data = data[size:]

    async def _wait(self, seconds: float) -> None:
        """Wait as long as the weather says, or until it changes."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()


class _Connection:
    """One client's connection and the one to the server that goes with it."""

    def __init__(self, client: SocketStream, server: Stream) -> None:
        self.client = client
        self.server = server
        self.scope = anyio.CancelScope()

    def end(self, *, reset: bool = False) -> None:
        """End both. A reset is what closing does to a socket that is not to linger."""
        if reset:
            raw = self.client.extra(SocketAttribute.raw_socket)  # noqa: S610 - no database's
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.scope.cancel()
