"""`mcp`: memories as tools of the Model Context Protocol."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from api.access import LOCAL, Principal, Scope
from api.cli._run import Cli, command
from api.telemetry.watched import watched
from persistence.backends import installed
from persistence.errors import ConfigurationError
from persistence.records import Record, validated
from persistence.text import Name

app = typer.Typer()

_LOCALHOST = frozenset({"127.0.0.1", "localhost", "::1"})


class _Tenant(Record):
    user: Name


@command(app)
async def mcp(
    cli: Cli,
    *,
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            "-u",
            metavar="USER",
            help="The only tenant; without it every call names one, and any may be named.",
            show_default=False,
        ),
    ] = None,
    scope: Annotated[
        Scope | None,
        typer.Option(
            "--scope",
            help="What may be done: read, write (also store, change, delete), admin (also check and repair). "
            "With --user it is write if nothing is said; without --user it must be said.",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="HOST:PORT",
            help="Serve streamable HTTP there, at /mcp, instead of stdin and stdout. On localhost only.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve memories as tools of the Model Context Protocol, to the program that starts this.

    On stdin and stdout, until stdin ends; nothing but the protocol goes to stdout. With --http until SIGTERM.
    """
    caller = _principal(user, scope)
    address = None if http is None else _address(http)
    with installed("mcp"):
        from api.http.settings import ApiConfig  # noqa: PLC0415  # an extra brings its libraries
        from api.mcp import serving  # noqa: PLC0415
    async with watched(os.environ) as told:
        memories = cli.service(enable_relay=True, observer=told.observer)
        if address is None:
            await serving.over_stdio(memories, caller)
            return
        config, ready = ApiConfig(host=address[0], port=address[1]), lambda url: cli.output.note(f"Serving at {url}")
        await serving.over_http(memories, config, serving.always(caller), ready)


def _principal(user: str | None, scope: Scope | None) -> Principal:
    if user is not None:
        validated(_Tenant, {"user": user})
        return Principal(LOCAL.name, frozenset({scope or Scope.WRITE}), user)
    if scope is None:
        raise ConfigurationError(
            "Without --user any tenant's memories could be reached, so --scope must be given.",
            hint="diptych mcp --user USER, or diptych mcp --scope read",
        )
    return Principal(LOCAL.name, frozenset({scope}))


def _address(given: str) -> tuple[str, int]:
    """Take an address apart. Raises ConfigurationError."""
    name, _, port = given.rpartition(":")
    host = name.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004  # the last port
        raise ConfigurationError("--http takes HOST:PORT.", hint="--http 127.0.0.1:8766")
    if host not in _LOCALHOST:
        raise ConfigurationError(
            "Without authentication the server listens on localhost only.",
            hint="--http 127.0.0.1:8766, or `diptych serve`, which asks for keys and serves this at /mcp",
        )
    return host, int(port)
