"""`config`: makes the environment and the secrets of the production stack, and looks whether they are right."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli._output import one_line, styled
from api.cli._run import DONE, TROUBLE, Cli, command
from api.cli.configuring.envfile import ENV
from api.cli.configuring.generating import NAME, PROFILES, Made
from api.cli.configuring.generating import generate as generated
from persistence.backends import installed

app = typer.Typer(
    name="config", no_args_is_help=True, help="The environment and the secrets of the production stack (Compose)."
)


class Profile(StrEnum):
    """What may be started beside the stack itself."""

    QDRANT = "qdrant"
    REDIS = "redis"
    MONITORING = "monitoring"


Folder = Annotated[Path, typer.Option("--folder", metavar="PATH", help="The checkout that the stack is started from.")]


@command(app)
async def generate(
    cli: Cli,
    *,
    folder: Folder = Path(),
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The name under which the stack is reached.", show_default=False),
    ] = None,
    beside: Annotated[
        list[Profile] | None,
        typer.Option("--with", help="Start this as well; repeatable.", show_default=False),
    ] = None,
) -> None:
    """Make a complete .env and strong secrets for docker-compose.production.yml.

    What is there already stays: after an upgrade the same command adds what is new.
    """
    given = {} if name is None else {NAME: name}
    given |= {PROFILES: ",".join(profile.value for profile in Profile if profile in beside)} if beside else {}
    made = await asyncio.to_thread(generated, folder, given)
    if cli.json:
        cli.output.data({"status": _status(made), "env": made.env, "added": made.added, "secrets": made.secrets})
        return
    for line in _lines(folder, made):
        cli.output.line(one_line(line))
    cli.output.note("Try: diptych config check")


def _status(made: Made) -> str:
    if made.env:
        return "generated"
    return "completed" if made.added or made.secrets else "already_complete"


def _lines(folder: Path, made: Made) -> list[str]:
    if _status(made) == "already_complete":
        return ["already complete: nothing was changed"]
    env = [f"made {folder / ENV}"] if made.env else [f"added {name} to {folder / ENV}" for name in made.added]
    return [*env, *(f"made the secret {name}" for name in made.secrets)]


@command(app)
async def check(cli: Cli, *, folder: Folder = Path()) -> int:
    """Look whether the stack can be started with .env and the secrets as they are. Changes nothing.

    Exit code 2: something is missing, or still a placeholder, or does not go together.
    """
    with installed("api"):  # whose settings it looks at
        from api.cli.configuring.checking import check as checked  # noqa: PLC0415  # the other command needs less

    troubles = await asyncio.to_thread(checked, folder)
    if cli.json:
        told = [{"where": one.where, "message": one.message, "hint": one.hint} for one in troubles]
        cli.output.data({"ok": not troubles, "troubles": told})
    for one in [] if cli.json else troubles:
        cli.output.line(styled(("✗", "bold red"), f" {one_line(one.where)}: {one_line(one.message)}"))
        cli.output.line(styled(("  Try: ", "bold"), one_line(one.hint)))
    if not troubles and not cli.json:
        cli.output.line("All is there that the stack needs.")
    return TROUBLE if troubles else DONE
