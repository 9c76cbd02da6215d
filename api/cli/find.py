"""`search` and `related`: by meaning, and by what memories share."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli import _parse
from api.cli._options import Agent, MemoryId, Run, Timeout, User, Where
from api.cli._run import Cli, command
from api.cli._show import show_hit
from api.shapes import search_json
from persistence.results import SearchResult

app = typer.Typer()

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="How many at most.")]


@command(app)
async def search(
    cli: Cli,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in words.", show_default=False)],
    *,
    user: User,
    limit: Limit = 10,
    expand: Annotated[
        int, typer.Option("--expand", metavar="N", min=0, help="Also memories up to N steps away in the graph.")
    ] = 0,
    agent: Agent = None,
    run: Run = None,
    where: Where = None,
    timeout: Timeout = None,
) -> None:
    """Find memories by meaning, nearest first; the score is the cosine similarity."""
    async with cli.service() as memories:
        result = await memories.search(
            query,
            user_id=user,
            limit=limit,
            agent_id=agent,
            run_id=run,
            filters=_parse.json_object("--filter", where),
            expand=expand,
            timeout=timeout,
        )
    _show(cli, result)


@command(app)
async def related(
    cli: Cli,
    memory_id: MemoryId,
    *,
    user: User,
    depth: Annotated[int, typer.Option("--depth", min=1, help="How many steps away at most.")] = 1,
    limit: Limit = 10,
) -> None:
    """Show memories that share an entity with one, or are related to it through the graph."""
    async with cli.service() as memories:
        result = await memories.related(memory_id, user_id=user, depth=depth, limit=limit)
    _show(cli, result)


def _show(cli: Cli, result: SearchResult) -> None:
    if cli.json:
        cli.output.data(search_json(result))
    else:
        for hit in result:
            show_hit(hit, cli.output)
    if not result:
        cli.output.note("There are none.")
    if result.degraded:
        cli.output.note(f"What the graph would add is missing: {result.degraded}")
