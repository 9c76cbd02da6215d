"""The command `diptych`: what it is made of, and where it starts."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from api.cli._commands import MARKUP, Commands
from api.cli._options import CommonOptions, GraphUrl, Json, NoColor, VectorUrl, Verbose
from api.cli._pipe import leave_pipe

HELP = """Keep every memory in a vector store and in a graph, in step.

The vector store is the truth; the graph is projected from it and can always be brought up to it again. Without any
setting both are on this machine; --vector-url and --graph-url, or DIPTYCH_VECTOR_URL and DIPTYCH_GRAPH_URL, say where
else. Data goes to stdout, everything else to stderr.

Exit codes: 0 done, 1 done but something needs a look, 2 trouble.
"""

app = typer.Typer(
    name="diptych",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
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
