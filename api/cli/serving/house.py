"""All that `serve` keeps in one process, opened in order and closed in the order that loses nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI, Request

from api.access import Principal
from api.access.gate import open_gate
from api.cli._run import Cli
from api.cli.serving.signals import Starting
from api.cli.serving.wanted import Wanted, scheduled
from api.http import ApiConfig, Authenticate, Face, Host, authenticating, create_app, hosting
from api.http.caller import PRINCIPAL, is_loopback
from api.http.serving import Stop, listen, serve, url_of
from api.telemetry.serving import Telemetry, telemetry


async def keep_house(
    cli: Cli, starting: Starting, given: Mapping[str, Any], wanted: Wanted, *, ready: Callable[[str], None]
) -> None:
    """Serve until a signal comes; ``ready`` is told the address.

    The socket comes first: where it cannot be had, no store is opened for nothing.
    """
    config = ApiConfig.load(**given)
    gate = await open_gate(config, cli.config().home)
    with await listen(config.host, config.port, may=lambda address: not gate.is_open or is_loopback(address)) as at:
        async with (
            telemetry(os.environ) as seen,
            cli.service(enable_relay=wanted.relay, observer=seen.observer) as memories,
            hosting(memories, config) as host,
            scheduled(memories, wanted=wanted.schedule),
        ):
            stop = Stop()
            starting.done(stop.come)
            async with built(host, authenticating(gate), seen, wanted) as app:
                await serve(app, host, at, stop, ready=lambda: ready(url_of(at)))


@asynccontextmanager
async def built(host: Host, authenticate: Authenticate, seen: Telemetry, wanted: Wanted) -> AsyncIterator[FastAPI]:
    """Build all that is served; it is to be served inside the block."""
    app = create_app(host, authenticate=authenticate, faces=_faces(wanted))
    seen.install(app)
    async with _speaking_mcp(app, host, wanted=wanted.mcp):
        yield app


def _faces(wanted: Wanted) -> set[Face]:
    asked = {Face.API: wanted.api, Face.DASHBOARD: wanted.dashboard}
    return {face for face, is_wanted in asked.items() if is_wanted}


@asynccontextmanager
async def _speaking_mcp(app: FastAPI, host: Host, *, wanted: bool) -> AsyncIterator[None]:
    """Speak MCP at /mcp inside the block, where its extra is installed."""
    if not wanted or find_spec("mcp") is None:
        yield
        return
    mcp = import_module("api.mcp").make_mcp(host, authenticate=_known, hosts=host.config.names)
    app.add_route("/mcp", mcp, include_in_schema=False)
    async with mcp.lifespan():
        yield


async def _known(request: Request) -> Principal:
    """Return whoever the guard before every route has named."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal
