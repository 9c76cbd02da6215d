"""The command `diptych`: what it is made of, and where it starts."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from api.cli import (
    choose,
    dead_letters,
    demo,
    doctor,
    find,
    importing,
    keys,
    local,
    mcp,
    memories,
    operate,
    schema,
    serving,
)
from api.cli._options import CommonOptions, GraphUrl, Json, NoColor, VectorUrl, Verbose
from api.cli._run import leave_pipe, runnable
from api.cli.backing import commands as backups
from api.cli.backing import erase, restoring
from api.cli.moving import export, migrate
from api.cli.syncing import commands, runs

HELP = """Keep every memory in a vector store and in a graph, in step.

The vector store is the truth; the graph is projected from it and can always be brought up to it again. Without any
setting both are on this machine; --vector-url and --graph-url, or DIPTYCH_VECTOR_URL and DIPTYCH_GRAPH_URL, say where
else. Data goes to stdout, everything else to stderr.

Exit codes: 0 done, 1 done but something needs a look, 2 trouble.
"""

app = typer.Typer(
    name="diptych",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"diptych {version('diptych')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=lambda value: _print_version(wanted=value), is_eager=True, help="Print it."),
]


@app.callback()
def common(
    ctx: typer.Context,
    *,
    vector_url: VectorUrl = None,
    graph_url: GraphUrl = None,
    json: Json = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    _version: Version = False,
) -> None:
    """Take the options that every command has; they may also stand behind the command's name."""
    ctx.obj = CommonOptions(vector_url, graph_url, json, verbose, no_color)


app.add_typer(memories.app)
app.add_typer(find.app)
app.add_typer(operate.app)
app.add_typer(commands.app)
app.add_typer(runs.app, name="runs")
app.add_typer(migrate.app)
app.add_typer(export.app)
app.add_typer(backups.app, name="backup")
app.add_typer(restoring.app)
app.add_typer(erase.app)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(schema.app, name="schema")
app.add_typer(local.app, name="local")
app.add_typer(doctor.app)
app.add_typer(keys.app, name="keys")
app.add_typer(serving.app)
app.add_typer(choose.app)
app.add_typer(mcp.app)
app.command("demo")(runnable(demo.command))
app.command("import")(runnable(importing.command))


def run_app() -> None:
    """Run the command that the arguments name, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the process's own streams can
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(leave_pipe())
