"""The backlog over time: how much was in doubt, kept in memory for as long as the server runs.

A task that the application's lifespan starts looks every quarter of a minute, for all tenants together; a tenant's own
backlog is looked at whenever its page is. What could not be read leaves a gap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cachetools import LRUCache

from persistence import AsyncPersistenceService
from persistence.errors import DeadlineExceededError, VectorStoreError
from persistence.results import OutboxStats
from persistence.retry import Deadline

#: Seconds between two looks, and looks that are kept: twelve hours.
EVERY, KEPT = 15.0, 2_880
#: Tenants whose backlog is kept at once.
TENANTS = 64
#: Seconds that one look may take.
LOOK_TIME = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. ``pending`` None: it could not be read. ``failed``: failures of this process's relay since it began."""

    at: datetime
    pending: int | None
    failed: int


class Backlog:
    """The samples of one tenant, or of all, the oldest first."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=KEPT)

    def take(self, outbox: OutboxStats | None, failed: int) -> None:
        """Keep what was seen, unless something was seen a moment ago."""
        now = datetime.now(UTC)
        last = self.samples[-1] if self.samples else None
        if last is None or now - last.at >= timedelta(seconds=EVERY / 3):
            self.samples.append(Sample(now, outbox.pending + outbox.dead if outbox else None, failed))

    def failed_since(self, moment: datetime, failed: int) -> int | None:
        """Return how many failures of the relay there were since a moment; None where nobody looked that early."""
        before = [sample.failed for sample in self.samples if sample.at <= moment]
        return failed - before[-1] if before else None


class Backlogs:
    """Of all tenants together (None), and of those whose pages were looked at last."""

    def __init__(self) -> None:
        self.everyone = Backlog()
        self._tenants: MutableMapping[str, Backlog] = LRUCache(TENANTS)

    def of(self, user_id: str | None) -> Backlog:
        """Return the backlog of one tenant, or of all."""
        return self.everyone if user_id is None else self._tenants.setdefault(user_id, Backlog())

    @asynccontextmanager
    async def watching(self, memories: AsyncPersistenceService) -> AsyncIterator[None]:
        """Look at the outbox now and then, inside the block."""
        task = asyncio.create_task(self._watch(memories), name="diptych-backlog")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self, memories: AsyncPersistenceService) -> None:
        while True:
            self.everyone.take(*await _look(memories))
            await asyncio.sleep(EVERY)


async def _look(memories: AsyncPersistenceService) -> tuple[OutboxStats | None, int]:
    parts = memories.parts
    try:
        return await parts.truth.read(parts.truth.store.outbox_stats, Deadline(LOOK_TIME)), parts.relay.failed
    except (VectorStoreError, DeadlineExceededError):
        return None, parts.relay.failed
