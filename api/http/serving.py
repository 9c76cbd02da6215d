"""Serves the application in this process, until it is told to stop; what is under way comes to its end first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.http.host import Host
from persistence.errors import ConfigurationError

#: Seconds that the runs led here have to be interrupted and to give their leases back, before streams are cut.
RUNS_TIME = 3.0
#: Seconds for requests that were cancelled to let go of what they hold.
LAST_TIME = 1.0
BACKLOG = 2_048


class Stop:
    """The two times that a server can be told to stop: to come to an end, and to do so at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.again = asyncio.Event()

    def come(self) -> None:
        """Tell it once more."""
        (self.again if self.asked.is_set() else self.asked).set()


async def listen(host: str, port: int, *, may: Callable[[str], bool]) -> socket.socket:
    """Return a socket that listens on an address that ``may`` allows. Raises ConfigurationError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(
            f"The address {host} is none of this machine's.",
            hint="check --host or DIPTYCH_API_HOST (of a worker: --metrics-host)",
        ) from error
    family, _, _, _, address = found[0]
    if not may(str(address[0])):
        raise ConfigurationError(
            f"Without authentication the server listens on this machine only, and {host} is more than that.",
            hint="make a key by `diptych keys create NAME --scope admin` first, or configure tokens (JWT)",
        )
    return _bound(family, address)


def _bound(family: int, address: Any) -> socket.socket:
    try:
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"The server cannot listen on port {address[1]} of {address[0]}: {os.strerror(error.errno or 0)}.",
            hint="end what uses the port, or choose another one by --port (of a worker: --metrics-port)",
        ) from error


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a socket's server is found."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: FastAPI, host: Host, listener: socket.socket, stop: Stop, *, ready: Callable[[], None]) -> None:
    """Serve until it is told to stop; then end what is under way, or after ``drain_timeout`` break it off."""
    server = _Server(_settings(app, host), ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="diptych-http")
    try:
        await _first(serving, stop.asked.wait())
        if not serving.done():
            await _drain(host, stop)
    finally:
        await asyncio.shield(_end(server, serving, host, stop))


async def _drain(host: Host, stop: Stop) -> None:
    """Take requests for a moment more, while those who send them learn that they should not; interrupt the runs."""
    host.drain.begin()
    delay = asyncio.create_task(asyncio.sleep(host.config.drain_delay))
    runs = asyncio.create_task(host.desk.close())
    await _first(delay, stop.again.wait())
    await asyncio.wait({runs}, timeout=RUNS_TIME)
    delay.cancel()
    host.drain.cut_streams()


async def _end(server: _Server, serving: asyncio.Task[None], host: Host, stop: Stop) -> None:
    """Let requests come to their end; break off, with an answer, those that do not in time."""
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(host.config.drain_timeout):
            await _first(serving, stop.again.wait())
    host.drain.cut_all()
    await asyncio.wait({serving}, timeout=LAST_TIME)
    server.force_exit = True
    await serving
    left = set(server.server_state.tasks)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=LAST_TIME)


async def _first(task: asyncio.Task[Any], other: Awaitable[object]) -> None:
    """Wait for the task, or for the other."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _settings(app: FastAPI, host: Host) -> uvicorn.Config:
    config = host.config
    return uvicorn.Config(
        app,
        root_path=config.root_path,
        forwarded_allow_ips=config.trusted_proxies,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, of which signals are not its own business, and that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the command."""
        yield
