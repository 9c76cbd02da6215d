"""`recommend`: which backends, why, and with which settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from api.cli._output import one_line, styled
from api.cli._run import Cli, command
from api.cli._show import FAINT, ID_STYLE
from persistence.choosing import Option, Recommendation, probe, recommend
from persistence.urls import mask

app = typer.Typer()


@command(app, "recommend")
async def recommend_backends(
    cli: Cli,
    *,
    memories: Annotated[int, typer.Option("--memories", metavar="N", min=0, help="Of all tenants, in time.")] = 10_000,
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", metavar="N", min=1, max=16_000, help="Of an embedding. Else that of the settings."),
    ] = None,
    queries: Annotated[float, typer.Option("--queries", metavar="N", min=0, help="Searches a second.")] = 1.0,
    writes: Annotated[float, typer.Option("--writes", metavar="N", min=0, help="Writes a second.")] = 1.0,
    processes: Annotated[int, typer.Option("--processes", metavar="N", min=1, help="That use them at once.")] = 1,
    durable: Annotated[
        bool, typer.Option("--durable/--no-durable", help="Whether memories are to outlive the process.")
    ] = True,
) -> None:
    """Recommend a truth and a graph for what is wanted, from what is installed here and which servers answer.

    Changes and starts nothing. Gives the reasons, what is to be done first, and the settings; passwords are masked.
    """
    config = cli.config()
    found = recommend(
        await probe(config, os.environ),
        memories=memories,
        dimension=dimension or config.embedding_dimension,
        queries_per_second=queries,
        writes_per_second=writes,
        processes=processes,
        durable=durable,
    )
    if cli.json:
        cli.output.data(_as_json(found))
    else:
        _show(cli, found)


def _as_json(found: Recommendation) -> dict[str, Any]:
    return {
        "vector": _option_json(found.vector),
        "graph": _option_json(found.graph),
        "settings": dict(found.settings),
        "to_do": list(found.to_do),
        "instead": {
            "vector": [_option_json(option) for option in found.instead_of_vector],
            "graph": [_option_json(option) for option in found.instead_of_graph],
        },
    }


def _option_json(option: Option) -> dict[str, Any]:
    return {
        "backend": option.name,
        "url": mask(option.url.get_secret_value()),
        "reasons": list(option.reasons),
        "objections": list(option.objections),
        "to_do": list(option.to_do),
    }


def _show(cli: Cli, found: Recommendation) -> None:
    for side, option in (("truth", found.vector), ("graph", found.graph)):
        cli.output.line(styled((f"{side}: ", "bold"), (option.name, ID_STYLE)))
        _sentences(cli, option.reasons)
    _not_chosen(cli, "truth", found.instead_of_vector)
    _not_chosen(cli, "graph", found.instead_of_graph)
    for step in found.to_do:
        cli.output.line(styled(("First: ", "bold"), one_line(step)))
    cli.output.line()
    for name, value in found.settings.items():
        cli.output.line(one_line(f"{name}={value}"))


def _sentences(cli: Cli, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        cli.output.line(f"  {one_line(sentence)}")


def _not_chosen(cli: Cli, side: str, options: Iterable[Option]) -> None:
    """Say of each other one what speaks against it; of one that merely came later in the order, nothing."""
    for option in options:
        for sentence in option.objections:
            cli.output.line(styled((f"{side}, not {option.name}: ", FAINT), one_line(sentence)))
