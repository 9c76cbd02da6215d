"""`migrate`: a truth, a graph, or both, from one backend to another, while everything goes on."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import typer

from api.cli._run import ATTENTION, DONE, TROUBLE, Cli, command
from api.cli.moving.graph import move_graph, planned_graph
from api.cli.moving.houses import houses
from api.cli.moving.words import show
from api.cli.syncing.display import display
from api.cli.syncing.options import DryRun, MaxResponse, Rate, Tenant, pace
from persistence import urls
from persistence.errors import ConfigurationError
from sync.model import OnProgress, Pace
from sync.moving import move, move_json

app = typer.Typer()


def _url(name: str, text: str) -> Any:
    return typer.Option(name, metavar="URL", help=text, show_default=False)


@command(app)
async def migrate(
    cli: Cli,
    *,
    from_vector: Annotated[
        str | None, _url("--from-vector", "The truth that is moved, or that the graph is of; else --vector-url.")
    ] = None,
    to_vector: Annotated[str | None, _url("--to-vector", "The truth that it is copied into.")] = None,
    from_graph: Annotated[
        str | None, _url("--from-graph", "The graph until now. It is not read: a graph is written from truth.")
    ] = None,
    to_graph: Annotated[
        str | None, _url("--to-graph", "The new graph: it becomes the graph of the truth, and is written from it.")
    ] = None,
    user: Tenant = None,
    dry_run: DryRun = False,
    keep_others: Annotated[
        bool,
        typer.Option(
            "--keep-others",
            help="Leave memories of the target that the source lacks, or has in an older version, as they are; else "
            "they are a reason to refuse.",
        ),
    ] = False,
    rate: Rate = None,
    max_response: MaxResponse = None,
) -> int:
    """Copy a truth into another backend, and write a new graph from it, while everything goes on.

    Memories keep their versions, times, digests and embeddings; deletes are copied too. The source is only read. The
    same command takes up a migration that died, and, once nobody writes at the source any more, brings what was
    written since.

    Exit code 1: the target is behind the source, because somebody goes on writing there. 2: it did not come to its end.
    """
    if not to_vector and not to_graph:
        raise ConfigurationError("A migration leads somewhere.", hint="--to-vector URL, --to-graph URL, or both")
    if from_graph is not None and from_graph == to_graph:
        raise ConfigurationError("The graph is there already.", hint="give --to-graph another URL, or leave both out")
    source = from_vector or urls.vector_source(cli.config(), os.environ).url.get_secret_value()
    done: dict[str, Any] = {"vector": None, "graph": None}
    try:
        with display(cli.output.err) as progress:
            if to_vector:
                options = {"user_id": user, "dry_run": dry_run, "keep_others": keep_others}
                done["vector"] = await _truth(cli, source, to_vector, pace(rate, max_response), progress, **options)
            if to_graph and (done["vector"] is None or done["vector"]["complete"]):
                done["graph"] = await _graph(cli, source, to_vector, to_graph, progress, dry_run=dry_run)
    except asyncio.CancelledError:
        cli.output.note("The same command takes it up where it was.")
        raise
    show(cli.output, done)
    return _exit_code([part for part in done.values() if part is not None], dry_run=dry_run)


async def _truth(
    cli: Cli, source: str, target: str, gently: Pace, progress: OnProgress, **options: Any
) -> dict[str, Any]:
    config = cli.config()
    async with houses(source, target, config, dry_run=options["dry_run"]) as (here, there):
        return dict(move_json(await move(here, there, pace=gently, progress=progress, config=config, **options)))


async def _graph(
    cli: Cli, source: str, target: str | None, graph: str, progress: OnProgress, *, dry_run: bool
) -> dict[str, Any]:
    if dry_run:
        return await planned_graph(cli, source)
    return await move_graph(cli, target or source, graph, progress)


def _exit_code(parts: list[dict[str, Any]], *, dry_run: bool) -> int:
    if not all(part["complete"] for part in parts):
        return TROUBLE
    return DONE if dry_run or all(part["in_step"] for part in parts) else ATTENTION
