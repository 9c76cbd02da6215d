"""`export`: memories as JSON lines, a page at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from api.cli._run import Cli, command
from api.cli.syncing.options import Tenant
from api.exporting import Export
from persistence.errors import PersistenceError

app = typer.Typer()

STDOUT = "-"


@command(app)
async def export(
    cli: Cli,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Where to; else standard output.", show_default=False)
    ] = STDOUT,
    *,
    user: Tenant = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also versions, digests, times, tombstones and the floor: `import` then restores all of it exactly.",
        ),
    ] = False,
    no_embeddings: Annotated[
        bool, typer.Option("--no-embeddings", help="Leave the embeddings out; they are made anew at the import.")
    ] = False,
) -> None:
    """Export memories as JSON lines, which `diptych import` reads.

    Others may go on writing: each memory is exported as it is when its turn comes. A file appears under its name once
    it is complete.
    """
    if full and no_embeddings:
        raise PersistenceError("A full export has its embeddings.", hint="leave one of the options out")
    async with cli.service(graph_url="none://") as service:
        exported = Export(service.parts.truth, user, full, not no_embeddings)
        async with _target(file) as stream, aclosing(exported.lines()) as pages:
            async for page in pages:
                await asyncio.to_thread(_write, stream, page)
    _report(cli, file, exported)


def _report(cli: Cli, file: str, exported: Export) -> None:
    counts = {"memories": exported.memories, "tombstones": exported.tombstones}
    if file != STDOUT and cli.json:
        cli.output.data({"file": file, **counts})
    else:
        cli.output.note(", ".join(f"{count:,} {name}" for name, count in counts.items()))


def _write(stream: IO[str], page: Sequence[str]) -> None:
    stream.writelines(f"{line}\n" for line in page)


@asynccontextmanager
async def _target(file: str) -> AsyncIterator[IO[str]]:
    """Open a file beside the one that is meant, and put it into its place at the end."""
    if file == STDOUT:
        yield sys.stdout
        return
    part = Path(f"{file}.part")
    try:
        stream = await asyncio.to_thread(part.open, "w", encoding="utf-8")
    except OSError as error:
        raise PersistenceError(f"{part} cannot be written: {error.strerror}.") from error
    try:
        with stream:
            yield stream
        await asyncio.to_thread(part.replace, file)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
