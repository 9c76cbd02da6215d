"""Asking before something is done that cannot be taken back."""

from __future__ import annotations

import sys

from api.cli._run import Cli
from api.cli._stdin import read_answer
from persistence.errors import PersistenceError


async def confirmed(cli: Cli, what: str, question: str) -> bool:
    """Ask on a terminal; elsewhere only --yes will do. Raises PersistenceError there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PersistenceError(
            f"{what} needs --yes where there is no terminal to ask on.", hint="the same command with --yes"
        )
    cli.output.err.print(f"{question} [y/N] ", end="")
    return await read_answer() in ("y", "yes")
