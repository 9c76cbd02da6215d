"""The two servers: those named by URL, or real ones started on this machine in a folder that is thrown away."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from persistence.local import LocalServer, PostgresServer
from persistence.local.neo4j import Neo4jServer

#: The jars are fetched once and kept.
PROGRAM = Path("~/.cache/diptych/neo4j")
#: The server's Java has to be warm and roomy enough that it is not what is measured.
JVM = ("-Xms1g", "-Xmx1g")
#: Room for a million memories in its own cache, as a server that holds so many would have.
OPTIONS = {"server.memory.pagecache.size": "1g"}


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the stores are; ``neo4j`` None where no benchmark needs it."""

    postgres: str
    neo4j: str | None


@asynccontextmanager
async def servers(postgres: str | None, neo4j: str | None, *, graph: bool) -> AsyncIterator[Urls]:
    """Start what no URL was given for (Neo4j only with ``graph``), and stop and remove it at the end."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="diptych-bench-"))
        stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
        if postgres is None:
            postgres = await _start(stack, PostgresServer(folder / "postgres"))
        if neo4j is None and graph:
            program = await asyncio.to_thread(PROGRAM.expanduser)
            neo4j = await _start(stack, Neo4jServer(folder / "neo4j", program=program, jvm=JVM, options=OPTIONS))
        yield Urls(postgres, neo4j)


async def _start(stack: AsyncExitStack, server: LocalServer) -> str:
    stack.push_async_callback(server.down)
    return await server.up()
