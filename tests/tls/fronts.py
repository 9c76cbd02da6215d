"""Small servers that encrypt, before something that does not: the wire of a real server is behind them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.tls.certificates import Pair

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Behind = Callable[[], Awaitable[Streams]]
#: What a client of PostgreSQL says before it encrypts.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def server_context(own: Pair, clients: Path | None = None) -> ssl.SSLContext:
    """Return what a server encrypts by; ``clients``: the authority that must have signed its clients' certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.cert, own.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


class Front:
    """Encrypts what comes in at ``port`` and hands it on; counts the connections that were made."""

    def __init__(self, behind: Behind, context: ssl.SSLContext, *, asks_first: bool = False) -> None:
        self._behind, self._context, self._asks_first = behind, context, asks_first
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.came = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Front]:
        encrypted = None if self._asks_first else self._context
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=encrypted)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.came += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._asks_first:
            assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
            writer.write(b"S")
            await writer.start_tls(self._context)
        there, back = await self._behind()
        try:
            await asyncio.wait(
                {asyncio.ensure_future(_pipe(reader, back)), asyncio.ensure_future(_pipe(there, writer))}
            )
        finally:
            back.close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        sink.write_eof() if sink.can_write_eof() else sink.close()
