"""`export`: memories as JSON lines, a page at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import typer

from api.cli._run import Cli, command
from api.cli.moving.full import end_line, header_line, memory_line, tombstone_line
from api.cli.syncing.options import Tenant
from persistence.errors import PersistenceError
from persistence.gates import TruthGate
from persistence.ports.outbox import Key
from persistence.ports.vector import StoreInfo, Tombstone
from persistence.records import Memory
from persistence.retry import Deadline

app = typer.Typer()

#: Memories that are held at once, and seconds for reading them.
PAGE, PAGE_TIME = 500, 120.0
STDOUT = "-"


@dataclass(slots=True)
class _Export:
    """One export: what is wanted, and what was written so far."""

    truth: TruthGate
    user_id: str | None
    full: bool
    embeddings: bool
    memories: int = 0
    tombstones: int = 0

    async def lines(self) -> AsyncGenerator[list[str]]:
        """Yield all lines, a page at a time. Memories first: what is deleted meanwhile is among the tombstones then."""
        if self.full:
            yield [header_line(await self._info(), self.user_id)]
        async with aclosing(self._walk()) as pages:
            async for page in pages:
                self.memories += len(page)
                yield await asyncio.to_thread(self._lines_of, page)
        if self.full:
            async with aclosing(self._buried()) as graves:
                async for stones in graves:
                    self.tombstones += len(stones)
                    yield [tombstone_line(stone) for stone in stones]
            yield [end_line(self.memories, self.tombstones, (await self._info()).floor)]

    def _lines_of(self, page: Sequence[Memory]) -> list[str]:
        return [memory_line(memory, full=self.full, embeddings=self.embeddings) for memory in page]

    async def _info(self) -> StoreInfo:
        return await self.truth.read(self.truth.store.info, Deadline(PAGE_TIME))

    async def _walk(self) -> AsyncGenerator[list[Memory]]:
        store, user_id = self.truth.store, self.user_id
        after: Key | None = None
        read = lambda: store.walk(user_id, after=after, limit=PAGE, embeddings=self.embeddings)  # noqa: E731  # named for one line
        while page := await self.truth.read(read, Deadline(PAGE_TIME)):
            after = Key(page[-1].user_id, page[-1].id)
            yield page

    async def _buried(self) -> AsyncGenerator[list[Tombstone]]:
        store, user_id = self.truth.store, self.user_id
        after: Key | None = None
        read = lambda: store.tombstones(user_id, after=after, limit=PAGE)  # noqa: E731  # named for one line
        while page := await self.truth.read(read, Deadline(PAGE_TIME)):
            after = Key(page[-1].user_id, page[-1].id)
            yield page


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
        exported = _Export(service.parts.truth, user, full, not no_embeddings)
        async with _target(file) as stream, aclosing(exported.lines()) as pages:
            async for page in pages:
                await asyncio.to_thread(_write, stream, page)
    _report(cli, file, exported)


def _report(cli: Cli, file: str, exported: _Export) -> None:
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
