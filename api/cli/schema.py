"""`schema`: the tables in the truth, and which graph belongs to it."""

from __future__ import annotations

import os
from typing import Annotated
from uuid import UUID

import typer

from api.cli._run import TROUBLE, Cli, command
from persistence import factory

app = typer.Typer(
    name="schema", no_args_is_help=True, help="The tables in the vector store, and which graph belongs to them."
)

FormerTruth = Annotated[
    UUID | None, typer.Option("--from", metavar="ID", help="The lost truth that the graph belongs to until now.")
]


@command(app)
async def upgrade(cli: Cli) -> None:
    """Make the tables, or bring them up to this version of diptych. Needs no second call."""
    before, after = await factory.upgrade_schema(factory.Given(config=cli.config()), os.environ)
    state = "already_current" if before == after else "upgraded"
    if cli.json:
        cli.output.data({"status": state, "before": before, "after": after})
    else:
        cli.output.line(f"{state.replace('_', ' ')}: version {after}")


@command(app)
async def status(cli: Cli) -> int | None:
    """Show which version the tables have, and which this version of diptych needs.

    Exits with 2 where they differ.
    """
    there, needed = await factory.schema_status(factory.Given(config=cli.config()), os.environ)
    current = there == needed
    if cli.json:
        cli.output.data({"version": there, "needed": needed, "current": current})
    else:
        cli.output.line(f"version {there}" if there else "there is no schema")
    if not current:
        hint = "diptych schema upgrade" if there < needed else "upgrade diptych on this machine"
        cli.output.note(f"Version {needed} is needed.")
        cli.output.note(f"Try: {hint}")
    return None if current else TROUBLE


@command(app)
async def adopt_graph(cli: Cli, former: FormerTruth = None) -> None:
    """Make the configured graph the graph of this truth, and list every memory to be written there.

    For a graph that was moved or made anew; `diptych relay` then fills it. With --from also for one that another truth
    has left: after `diptych restore` into a new truth, whose graph is still the lost one's. What differs there then is
    shown by `diptych repair --depth full`. Nobody may use the former truth any more.
    """
    given = factory.Given(config=cli.config())
    listed = await factory.adopt_graph(given, os.environ, former_truth=former)
    if cli.json:
        cli.output.data({"status": "adopted", "listed": listed})
    else:
        cli.output.line("adopted" if listed is None else f"adopted; {listed:,} memories are listed for it")
    if listed:
        cli.output.note("Try: diptych relay")
