"""``diptych demo``: the main job on real input, told step by step, each step proven."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from rich.console import Console

from api.cli._run import DONE, TROUBLE, Cli, command
from api.cli.demo.report import Told
from api.cli.demo.steps import Demo, Plant
from api.cli.demo.story import SHORT_HISTORY, TENANT, Story, tell
from api.cli.importing.git import commits_up_to
from persistence.backends import GRAPH, adapter
from persistence.errors import ConfigurationError
from persistence.results import HealthStatus
from persistence.settings import PersistenceConfig
from persistence.urls import EMBEDDED, graph_source, scheme, vector_source

app = typer.Typer()

#: A call may take so long here: a graph server that has just started is slow at first.
PATIENCE_S = 30.0

Folder = Annotated[
    Path, typer.Option("--git", metavar="PATH", help="The git repository whose history is told.", show_default=".")
]
Commits = Annotated[int, typer.Option("--max", metavar="N", min=1, help="The newest so many commits.")]


@command(app)
async def demo(cli: Cli, folder: Folder = Path(), commits: Commits = 500) -> int:
    """Show what diptych does, on real stores and real input, in half a minute.

    It imports the history of the git repository it stands in (a small corpus where there is none), searches it, walks
    the graph from a hit, updates and deletes a memory, and compares both stores; where the graph is on PostgreSQL, it
    plants a drift there and heals it. Without any setting it starts a real PostgreSQL of its own, for truth and graph.
    All it writes belongs to a tenant of its own, which the next run empties first.

    Exit code 2: a step did not give what it should.
    """
    told = Told(cli.output)
    if not cli.json:
        cli.output.line("diptych keeps memories in a vector store and in a graph, and makes the two behave as one.")
    story = await asyncio.to_thread(_story, folder, commits)
    progress = cli.output.err if cli.output.err.is_terminal else Console(quiet=True)
    async with cli.service(enable_relay=True, write_timeout=PATIENCE_S) as service:
        if (await service.get_health()).graph.status is HealthStatus.DISABLED:
            raise ConfigurationError("The demo needs a graph, and none is configured.", hint="--graph-url memory://")
        await Demo(service, cli.config(), story, told, progress, await _plant(cli.config())).run()
    told.finish()
    _farewell(cli, ok=told.ok)
    return DONE if told.ok else TROUBLE


async def _plant(config: PersistenceConfig) -> Plant | None:
    """Return how a drift is planted, where the graph can be edited by SQL."""
    url = graph_source(config, os.environ).url.get_secret_value()
    if GRAPH.get(scheme(url), ("", ""))[0] != "postgres_graph":
        return None
    place = await adapter("persistence.backends.postgres_graph", "pgvector").place(url, config)
    return partial(adapter("api.cli.demo.drift", "pgvector").plant, place, TENANT, config.connect_timeout)


def _story(folder: Path, commits: int) -> Story:
    return tell(folder, commits, commits_up_to(folder, SHORT_HISTORY))


def _farewell(cli: Cli, *, ok: bool) -> None:
    if cli.json or not ok:
        return
    cli.output.line()
    cli.output.line(f"The memories are still there, under the tenant {TENANT}. Next:")
    for line in _next(cli.config()):
        cli.output.line(f"   {line}", "cyan")


def _next(config: PersistenceConfig) -> Iterator[str]:
    activate = Path(sys.executable).with_name("activate")
    if shutil.which("diptych") is None and activate.exists():
        yield f"$ . {quote(str(activate))}   # lends this shell `diptych` and its `python`"
    yield f"$ diptych search 'what you like' --user {TENANT}"
    yield "$ diptych store 'Ada works at Babbage & Co.' --user me"
    yield ">>> from persistence import PersistenceService   # or AsyncPersistenceService"
    yield f"$ diptych delete --all --user {TENANT} --yes"
    if scheme(vector_source(config, os.environ).url.get_secret_value()) == scheme(EMBEDDED):
        yield "$ diptych local down   # stops the PostgreSQL that was started for this; its data stay"
