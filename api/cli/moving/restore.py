"""What `import` does with a full export: memories and tombstones at the versions that they had."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from api.cli.importing.lines import Line, LineSource, StoppedError
from api.cli.importing.pipeline import ended
from api.cli.importing.tally import Tally
from api.lines import Counts, FullExportError, Header, read_header, read_line
from persistence import AsyncPersistenceService
from persistence.assembly import Parts
from persistence.errors import EmbeddingMismatchError, InvalidInputError
from persistence.gates import GraphRole
from persistence.ports.vector import Tombstone, Tracking, Transferred
from persistence.records import Memory
from persistence.retry import Deadline

#: Lines in one transaction, and seconds for it.
BATCH, BATCH_TIME = 500, 120.0


@dataclass(slots=True)
class _Batch:
    """Lines that were read together. ``end``: the last line of the file was among them."""

    memories: list[Memory] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    end: Counts | None = None

    @property
    def size(self) -> int:
        return len(self.memories) + len(self.tombstones)

    def take(self, one: Memory | Tombstone | Counts) -> None:
        """Put what a line holds into its place."""
        if isinstance(one, Memory):
            self.memories.append(one)
        elif isinstance(one, Tombstone):
            self.tombstones.append(one)
        else:
            self.end = one


@dataclass(slots=True)
class Restore:
    """One restoring under way. ``stop`` ends the reading. The tally is right at any time."""

    source: LineSource
    stop: threading.Event
    tally: Tally = field(default_factory=Tally)
    memories: int = 0
    tombstones: int = 0

    async def run(self, service: AsyncPersistenceService) -> None:
        """Bring everything. Raises FullExportError, EmbeddingMismatchError, SourceError."""
        lines = self.source.lines()
        try:
            await self._run(service.parts, lines)
        finally:
            self.stop.set()

    async def _run(self, parts: Parts, lines: Iterator[Line]) -> None:
        header = read_header(next(lines).raw)
        await self._check(parts, header)
        await self._raise_floor(parts, header.floor)
        end: Counts | None = None
        while end is None and (batch := await self._read(lines)) is not None:
            await self._bring(parts, batch)
            end = batch.end
        if end is None or (end.memories, end.tombstones) != (self.memories, self.tombstones):
            raise FullExportError(
                f"{self.source.name} was cut off: it does not hold what its last line should say.",
                hint="what it holds was brought; export anew, and import that",
            )
        await self._raise_floor(parts, end.floor)

    async def _check(self, parts: Parts, header: Header) -> None:
        info = await parts.truth.read(parts.truth.store.info, Deadline(BATCH_TIME))
        if (info.embedding_model, info.dimension) != (header.model, header.dimension):
            raise EmbeddingMismatchError(
                f"{self.source.name} holds embeddings of {header.model!r} with {header.dimension} dimensions, the"
                f" vector store of {info.embedding_model!r} with {info.dimension}."
            )

    async def _raise_floor(self, parts: Parts, floor: int) -> None:
        store = parts.truth.store
        await parts.truth.change(lambda: store.raise_floor(floor), Deadline(BATCH_TIME))

    async def _read(self, lines: Iterator[Line]) -> _Batch | None:
        """Read the next batch in a thread; a cancellation stops it, and waits until it has stopped."""
        reading = asyncio.create_task(asyncio.to_thread(self._next, lines))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            self.stop.set()
            await ended(reading)
            raise

    def _next(self, lines: Iterator[Line]) -> _Batch | None:
        batch = _Batch()
        try:
            while batch.size < BATCH and batch.end is None and (line := next(lines, None)) is not None:
                batch.take(_parsed(line))
        except StoppedError:
            return None
        return batch if batch.size or batch.end else None

    async def _bring(self, parts: Parts, batch: _Batch) -> None:
        tracking = Tracking(graph=parts.graph.role is GraphRole.REGISTERED, lease=0.0)
        store = parts.truth.store
        done: Transferred = await parts.truth.change(
            lambda: store.transfer(batch.memories, batch.tombstones, tracking), Deadline(BATCH_TIME)
        )
        self.memories += len(batch.memories)
        self.tombstones += len(batch.tombstones)
        self.tally.read += batch.size
        self.tally.stored += len(done.written)
        self.tally.already_present += len(done.left)
        self.tally.pending += len(done.written) if tracking.graph else 0


def _parsed(line: Line) -> Memory | Tombstone | Counts:
    if line.spill is not None:
        raise FullExportError(f"{line.label} is too long.")
    try:
        return read_line(line.raw)
    except (InvalidInputError, ValueError) as error:
        raise FullExportError(f"{line.label} cannot be read: {error}.", hint="export anew") from error
