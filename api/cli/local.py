"""`local`: real servers on this machine, without Docker."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from api.cli._output import one_line, styled
from api.cli._run import Cli, command
from persistence.local import LocalServer, ServerStatus, local_server

app = typer.Typer(
    name="local",
    no_args_is_help=True,
    help="Real servers on this machine, without Docker. Their data lie in DIPTYCH_HOME (~/.local/share/diptych).",
)


class Name(StrEnum):
    """The servers that there are."""

    POSTGRES = "postgres"
    NEO4J = "neo4j"
    QDRANT = "qdrant"


PAIR = (Name.POSTGRES, Name.NEO4J)

Names = Annotated[list[Name] | None, typer.Argument(help="Which servers.", show_default=False)]


@command(app)
async def up(cli: Cli, names: Names = None) -> None:
    """Start servers, and print their URLs; without a name Postgres and Neo4j.

    They go on running when this command is done. The first start of Neo4j fetches it by Maven (116 MB).
    """
    states = []
    for server in _servers(cli, names or PAIR):
        before = await server.status()
        if not before.running:
            cli.output.note(f"Starting {server.name} …")
        await server.up()
        states.append((await server.status(), "already_running" if before.running else "started"))
    _show(cli, states)


@command(app)
async def down(cli: Cli, names: Names = None) -> None:
    """Stop servers, all of them without a name; their data stay."""
    states = []
    for server in _servers(cli, names or tuple(Name)):
        stopped = await server.down()
        states.append((await server.status(), "stopped" if stopped else "already_stopped"))
    _show(cli, states)


@command(app)
async def status(cli: Cli, names: Names = None) -> None:
    """Show which servers run, and where their data and logs are."""
    found = [await server.status() for server in _servers(cli, names or tuple(Name))]
    _show(cli, [(state, _state(state)) for state in found])


def _servers(cli: Cli, names: list[Name] | tuple[Name, ...]) -> list[LocalServer]:
    home = cli.config().home
    return [local_server(name.value, home) for name in dict.fromkeys(names)]


def _state(server: ServerStatus) -> str:
    if server.running:
        return "running"
    return "stopped" if server.pid is None else "not_answering"


def _show(cli: Cli, states: list[tuple[ServerStatus, str]]) -> None:
    if cli.json:
        cli.output.data({"servers": [_json(server, state) for server, state in states]})
        return
    for server, state in states:
        cli.output.line(styled((f"{server.name:<9}", "bold"), f" {state.replace('_', ' ')}"))
        for label, value in _details(server):
            cli.output.line(f"  {label:<5} {one_line(value)}")


def _details(server: ServerStatus) -> list[tuple[str, str]]:
    running = [("url", server.url or ""), ("pid", str(server.pid))] if server.running else []
    kept = [("data", server.data), ("log", server.log)]
    return running + [(label, str(path)) for label, path in kept if path.exists()]


def _json(server: ServerStatus, state: str) -> dict[str, Any]:
    return {
        "name": server.name,
        "status": state,
        "running": server.running,
        "url": server.url,
        "pid": server.pid,
        "data": str(server.data),
        "log": str(server.log),
    }
