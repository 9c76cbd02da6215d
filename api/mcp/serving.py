"""Serving the protocol by itself: to the process that started us, or over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import anyio
import uvicorn
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from api.access import Principal
from api.http.caller import Authenticate
from api.http.host import hosting
from api.http.settings import ApiConfig
from api.mcp.app import make_mcp
from api.mcp.server import make_server
from api.mcp.wire import taken
from persistence import AsyncPersistenceService
from persistence.bounded import being_cancelled
from persistence.errors import ConfigurationError
from persistence.log import get_logger

log = get_logger("mcp")

#: Seconds that requests have to end once the server was asked to.
GRACE = 5


async def over_stdio(memories: AsyncPersistenceService, caller: Principal) -> None:
    """Open the stores and serve whoever holds the other ends of stdin and stdout, until they close them."""
    config = ApiConfig()
    with taken(config.max_body_bytes) as wire:
        async with memories, hosting(memories, config) as host:
            server = make_server(host, lambda _: caller)
            file = cast("Any", wire)  # the library asks for a file of anyio's, and uses these of its methods alone
            with _left():
                async with stdio_server(file, file) as (messages, answers):
                    await server.run(messages, answers, server.create_initialization_options())


@contextlib.contextmanager
def _left() -> Iterator[None]:
    """Take a client that reads no more for one that has closed its end, and a cancelled session for just that.

    The library's streams break where a session is cancelled while messages come in, and their error takes the place of
    the cancellation.
    """
    try:
        yield
    except ExceptionGroup as errors:
        if errors.split((BrokenPipeError, anyio.BrokenResourceError))[1] is not None:
            raise
        if being_cancelled():
            raise asyncio.CancelledError from errors
        log.info("The client has left without closing its end.", action="mcp.serve")


def always(caller: Principal) -> Authenticate:
    """Name everyone the same: whoever reaches a server on localhost."""

    async def authenticate(request: Request) -> Principal:  # noqa: ARG001  # the shape of an Authenticate
        return caller

    return authenticate


async def over_http(
    memories: AsyncPersistenceService, config: ApiConfig, authenticate: Authenticate, ready: Callable[[str], None]
) -> None:
    """Open the stores and serve at ``/mcp`` until SIGTERM or SIGINT; ``ready`` is told the address."""
    with _bound(config) as listener:
        async with memories, hosting(memories, config) as host:
            mcp = make_mcp(host, authenticate=authenticate)
            app = Starlette(routes=[Route("/mcp", mcp)])
            async with mcp.lifespan():
                await _served(app, listener, lambda: ready(_address(config, listener)), mcp.hang_up)


def _address(config: ApiConfig, listener: socket.socket) -> str:
    name = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{name}:{listener.getsockname()[1]}/mcp"


@contextlib.contextmanager
def _bound(config: ApiConfig) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can listen on {config.host}:{config.port}: {error.strerror}.",
            hint="give another --http HOST:PORT",
        ) from error
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """Leaves the signals to the event loop, and says when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


async def _served(
    app: Starlette, listener: socket.socket, ready: Callable[[], None], leaving: Callable[[], None]
) -> None:
    settings = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=GRACE)
    server = _Server(settings, ready)

    def stop() -> None:
        server.should_exit = True
        leaving()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve([listener])
