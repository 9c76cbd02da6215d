"""One import from the opened input to its report: the same work for the command and for the demo."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console

from api.cli.importing.batches import Batcher
from api.cli.importing.display import Display, display
from api.cli.importing.options import Input, OnError, Request
from api.cli.importing.pipeline import Import
from api.cli.importing.rejects import Rejects
from api.cli.importing.tally import Tally
from persistence import AsyncPersistenceService

#: Transactions in one call of the service: within a call, truth takes the next one while the graph takes this one.
BATCHES_AT_ONCE = 4


@dataclass(slots=True)
class Job:
    """An import of ``found``, whose sources look at ``stop``. ``finished``: everything was read that was to be."""

    request: Request
    found: Input
    stop: threading.Event
    console: Console
    batch_size: int
    tally: Tally = field(default_factory=Tally)
    rejects: Rejects | None = None
    index_put_off: bool = False
    finished: bool = False

    def __post_init__(self) -> None:
        """Skipped lines are kept; where the first one ends the import, there is nothing to keep."""
        if self.request.on_error is OnError.SKIP:
            self.rejects = Rejects(self.request.rejected)

    @property
    def complete(self) -> bool:
        """Whether all of the input was dealt with."""
        return self.finished and (self.rejects is not None or not self.tally.rejected)

    async def run(self, service: AsyncPersistenceService) -> None:
        """Store everything; the vector index is put off while an empty store is filled."""
        with ExitStack() as stack:
            shown = stack.enter_context(display(self.console))
            if self.rejects:
                stack.enter_context(self.rejects)
            async with service.bulk_load() as self.index_put_off:
                await self._pipeline(service, shown).run()
                if self.index_put_off:
                    shown.phase("Building the vector index.")
        self.finished = True

    def _pipeline(self, service: AsyncPersistenceService, shown: Display) -> Import:
        batcher = Batcher(
            self.found.entries,
            size=self.batch_size * BATCHES_AT_ONCE,
            first_wins=not self.request.update,
            stop_at_fault=self.rejects is None,
            limit=self.request.limit,
        )
        return Import(
            store=service,
            batcher=batcher,
            mode=self.request.mode,
            progress=self.found.progress,
            display=shown,
            console=self.console,
            rejects=self.rejects,
            stop=self.stop,
            tally=self.tally,
        )
