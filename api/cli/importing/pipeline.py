"""Store batch after batch, one in flight while the next is read and validated; memory is bounded by two batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from rich.console import Console

from api.cli.importing.batches import Batch, Batcher
from api.cli.importing.display import Display
from api.cli.importing.entries import Fault, Progress
from api.cli.importing.lines import StoppedError
from api.cli.importing.rejects import Rejects
from api.cli.importing.tally import Tally
from persistence.bulk import BulkCancelledError
from persistence.errors import BulkInterruptedError
from persistence.ports.vector import WriteMode
from persistence.records import MemoryDraft
from persistence.results import PersistenceResult

#: Rejections that are named one by one; the file has them all.
SHOWN_REJECTIONS = 20


class Store(Protocol):
    """The one call of the service that an import needs."""

    async def store_many(self, items: Sequence[MemoryDraft], *, mode: WriteMode) -> list[PersistenceResult]:
        """Store drafts, outcomes in the order given."""
        ...


@dataclass(slots=True)
class Import:
    """One import under way. ``rejects`` None: the first rejected line ends it. ``stop`` ends the reading."""

    store: Store
    batcher: Batcher
    mode: WriteMode
    progress: Progress
    display: Display
    console: Console
    rejects: Rejects | None
    stop: threading.Event
    tally: Tally

    async def run(self) -> None:
        """Read and store everything. The tally is right at any time, also after an error or a cancellation."""
        reading = asyncio.create_task(self._read())
        try:
            while (batch := await asyncio.shield(reading)) is not None:
                reading = asyncio.create_task(self._read())
                await self._deal_with(batch)
        finally:
            self.stop.set()
            await ended(reading)
            await asyncio.to_thread(self.batcher.close)

    async def _read(self) -> Batch | None:
        try:
            return await asyncio.to_thread(self.batcher.next)
        except StoppedError:
            return None

    async def _deal_with(self, batch: Batch) -> None:
        if batch.items:
            await self._store([item.draft for item in batch.items])
        self.tally.repeat(batch.repeated)
        if batch.faults:
            await self._reject(batch.faults)
        self.display.update(self.tally, self.progress)

    async def _store(self, drafts: Sequence[MemoryDraft]) -> None:
        try:
            self.tally.add(await self.store.store_many(drafts, mode=self.mode))
        except BulkCancelledError as cancelled:
            self.tally.add(list(cancelled.results.values()))
            raise
        except BulkInterruptedError as broken:
            self.tally.add(cast("list[PersistenceResult]", list(broken.results.values())))
            raise broken.__cause__ or broken from broken

    async def _reject(self, faults: Sequence[Fault]) -> None:
        room = max(SHOWN_REJECTIONS - self.tally.rejected, 0)
        for fault in faults[:room]:
            self.console.print(f"{fault.label}: {fault.reason}")
        if self.tally.rejected <= SHOWN_REJECTIONS < self.tally.rejected + len(faults):
            self.console.print("More lines were rejected; they are not named here one by one.")
        self.tally.reject(len(faults))
        if self.rejects is not None:
            await asyncio.to_thread(self.rejects.add, faults)


async def ended(reading: asyncio.Task[Any]) -> None:
    """Wait for the reader's thread, which looks for the stop signal several times a second."""
    while not reading.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({reading})
    reading.exception()  # seen, or overtaken by the error that ended the import
