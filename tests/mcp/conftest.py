"""The MCP server as a client meets it: the installed command in a process of its own, a real server on localhost."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from api.access import Principal, Scope, Unauthenticated
from api.http.host import Host, hosting
from api.http.settings import ApiConfig
from api.mcp import make_mcp
from persistence import AsyncPersistenceService
from persistence.settings import PersistenceConfig

EXECUTABLE = Path(sys.executable).with_name("diptych")
#: The handshake of 2025 and the envelope of 2026: whatever is pinned holds in both.
ERAS = ("legacy", "2026-07-28")

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@dataclass
class Command:
    """``diptych mcp`` with an environment of its own."""

    environment: dict[str, str]
    folder: Path

    def parameters(self, *args: str) -> StdioServerParameters:
        return StdioServerParameters(
            command=str(EXECUTABLE), args=["mcp", *args], env=self.environment, cwd=str(self.folder)
        )

    def client(self, *args: str, mode: str = "legacy", **more: Any) -> Client:
        return Client(self.parameters(*args), mode=mode, read_timeout_seconds=60, **more)

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            EXECUTABLE, "mcp", *args, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment, cwd=self.folder
        )


@pytest.fixture
def bare(tmp_path: Path) -> Command:
    """Give the command with both stores in its own memory."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "DIPTYCH_HOME": str(tmp_path / "home"),
        "DIPTYCH_VECTOR_URL": "memory://",
        "DIPTYCH_GRAPH_URL": "memory://",
    }
    return Command(environment, tmp_path)


@pytest.fixture
def paired(bare: Command, postgres_url: str, pg_schema: str, clean_neo4j: str) -> Command:
    """Give the command on a real Postgres and a real Neo4j."""
    bare.environment |= {
        "DIPTYCH_VECTOR_URL": postgres_url,
        "DIPTYCH_SCHEMA_NAME": pg_schema,
        "DIPTYCH_GRAPH_URL": clean_neo4j,
    }
    return bare


#: Who comes with which token.
PRINCIPALS = {
    "ada-reads": Principal("ada-reads", frozenset({Scope.READ}), "ada"),
    "ada-writes": Principal("ada-writes", frozenset({Scope.WRITE}), "ada"),
    "ada-admin": Principal("ada-admin", frozenset({Scope.ADMIN}), "ada"),
    "bob-writes": Principal("bob-writes", frozenset({Scope.WRITE}), "bob"),
    "bob-admin": Principal("bob-admin", frozenset({Scope.ADMIN}), "bob"),
    "all-reads": Principal("all-reads", frozenset({Scope.READ})),
    "all-writes": Principal("all-writes", frozenset({Scope.WRITE})),
    "all-admin": Principal("all-admin", frozenset({Scope.ADMIN})),
    "nothing": Principal("nothing", frozenset()),
}


async def by_token(request: Request) -> Principal:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or token not in PRINCIPALS:
        raise Unauthenticated
    return PRINCIPALS[token]


@dataclass
class Served:
    """A real server; ``connect`` gives a client that comes with a token."""

    url: str
    host: Host
    refused: set[str] = field(default_factory=set)

    async def authenticate(self, request: Request) -> Principal:
        caller = await by_token(request)
        if caller.name in self.refused:
            raise Unauthenticated
        return caller

    @asynccontextmanager
    async def connect(self, token: str, mode: str = "legacy", **more: Any) -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as web:
            transport = streamable_http_client(self.url, http_client=web)
            async with Client(transport, mode=mode, read_timeout_seconds=60, **more) as client:
                yield client


@contextmanager
def bound() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


class Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket, until the block ends."""
    server = Quiet(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def served_by(memories: AsyncPersistenceService, config: ApiConfig) -> AsyncIterator[Served]:
    with bound() as listener:
        async with memories, hosting(memories, config) as host:
            served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", host)
            mcp = make_mcp(host, authenticate=served.authenticate)
            async with mcp.lifespan(), serving(Starlette(routes=[Route("/mcp", mcp)]), listener):
                yield served


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Serve over HTTP, with tokens, both stores in memory; a parameter is the server's settings."""
    memories = AsyncPersistenceService.connect("memory://", "memory://", config=PersistenceConfig())
    opened: asyncio.Future[Served] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def serve() -> None:
        """Enter and leave in one task, as anyio asks for; a fixture is set up and taken down in two."""
        async with served_by(memories, getattr(request, "param", ApiConfig())) as one:
            opened.set_result(one)
            await over.wait()

    task = asyncio.create_task(serve())
    await asyncio.wait({task, opened}, return_when=asyncio.FIRST_COMPLETED)
    yield opened.result() if opened.done() else await task
    over.set()
    await task


ADA = {
    "content": "Ada works at Babbage & Co.",
    "entities": [{"name": "Ada", "type": "Person"}, {"name": "Babbage & Co.", "type": "Company"}],
    "relationships": [{"source": "Ada", "type": "WORKS_AT", "target": "Babbage & Co."}],
}


async def done(client: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool that succeeds; the client has held the answer against its schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool that answers with an error; return what a program finds of it."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    problem = result.meta["diptych/problem"]
    assert result.content[0].text.startswith(problem["message"])
    return problem
