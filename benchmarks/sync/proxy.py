"""A proxy before a server that counts what the server says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from persistence.graph.neo4j.address import DEFAULT_PORT

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]

HOST = "127.0.0.1"
PIECE = 65_536


@dataclass(slots=True)
class Counter:
    """``url`` leads through the proxy; ``answered`` is how many bytes the server has sent."""

    url: str = ""
    answered: int = 0


@asynccontextmanager
async def before_postgres(url: str) -> AsyncIterator[Counter]:
    """Stand before a PostgreSQL, which may listen on a Unix socket alone."""
    given = conninfo_to_dict(url)
    host, port = str(given.get("host") or "localhost"), int(given.get("port") or 5432)

    async def connect() -> Streams:
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async with _counted(connect) as (counter, own_port):
        counter.url = make_conninfo(url, host=HOST, port=own_port)
        yield counter


@asynccontextmanager
async def before_neo4j(url: str) -> AsyncIterator[Counter]:
    """Stand before a Neo4j. ``bolt``: with ``neo4j``, the server would name its own address, past the proxy."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORT
    async with _counted(lambda: asyncio.open_connection(host, port)) as (counter, own_port):
        credentials, at, _ = parts.netloc.rpartition("@")
        scheme = "bolt+ssc" if "+s" in parts.scheme else "bolt"
        counter.url = parts._replace(scheme=scheme, netloc=f"{credentials}{at}{HOST}:{own_port}").geturl()
        yield counter


@asynccontextmanager
async def _counted(connect: Connect) -> AsyncIterator[tuple[Counter, int]]:
    counter = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await connect()
        await asyncio.gather(_pump(reader, questions), _pump(answers, writer, counter))

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield counter, server.sockets[0].getsockname()[1]


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counter: Counter | None = None) -> None:
    while piece := await source.read(PIECE):
        if counter is not None:
            counter.answered += len(piece)
        sink.write(piece)
        await sink.drain()
    sink.close()
