"""The passphrase of a backup: from a file, the environment or the keyboard, never from the command line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli._run import Cli
from api.cli._stdin import read_secret
from persistence.errors import BackupPassphraseError, ConfigurationError
from persistence.secretfiles import LONGEST, secret

VARIABLE = "DIPTYCH_BACKUP_PASSPHRASE"

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"A file with the passphrase in its first line; else {VARIABLE}_FILE, or {VARIABLE} itself.",
        show_default=False,
    ),
]


async def given(file: Path | None) -> str | None:
    """Return the passphrase of the file or of the environment, None where there is none. Raises ConfigurationError."""
    if file is not None:
        return await asyncio.to_thread(_first_line, file)
    found = await asyncio.to_thread(secret, os.environ, VARIABLE)
    return _phrase(found, f"{VARIABLE} or its file") if found else None


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            line = stream.readline(LONGEST + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read as a passphrase.") from error
    return _phrase(line, str(file))


def _phrase(text: str, where: str) -> str:
    """Return the first line of a text, which is the passphrase wherever it comes from. Raises ConfigurationError."""
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise ConfigurationError(f"{where} is empty.", hint="put the passphrase into its first line")
    if len(line.encode("utf-8", "surrogateescape")) > LONGEST:
        raise ConfigurationError(f"The passphrase in {where} is longer than {LONGEST:,} bytes.")
    return line


async def chosen(cli: Cli, file: Path | None, *, encrypt: bool) -> str | None:
    """Return the passphrase of a new backup, asked for twice where it has to be typed. Raises ConfigurationError."""
    found = await given(file)
    if found is not None or not encrypt:
        return found
    typed = await _typed(cli, "Passphrase of the backup: ")
    if typed is None:
        raise ConfigurationError("There is no passphrase.", hint=f"--passphrase-file FILE, or {VARIABLE}")
    if not typed or typed != await _typed(cli, "Once more: "):
        raise ConfigurationError("Two different passphrases were typed, or none.")
    return typed


async def wanted(cli: Cli, file: Path | None, *, encrypted: bool) -> str | None:
    """Return the passphrase of a backup that is there; one that is encrypted asks for it on a terminal."""
    found = await given(file)
    if found is not None or not encrypted:
        return found
    typed = await _typed(cli, "Passphrase of the backup: ")
    if not typed:
        raise BackupPassphraseError("The backup is encrypted, and no passphrase was given.")
    return typed


async def _typed(cli: Cli, question: str) -> str | None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    cli.output.err.print(question, end="")
    try:
        return await read_secret()
    finally:
        cli.output.note("")
