"""What failed in the last hour, as far as the durable records tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.dashboard.series import Backlog
from api.dashboard.views.reading import of_truth
from persistence.assembly import Parts
from persistence.ports.outbox import OutboxEntry
from persistence.ports.runs import Run, RunState
from sync import AsyncSyncService

#: Entries and runs that are looked through for failures.
LOOKED_AT = 200
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Failures:
    """``runs``: failed or interrupted in the last hour. ``entries``: in the outbox with a failure and its reason.

    ``relay``: failed attempts of this process's relay in the last hour, None where it has not served for so long.
    ``exact`` False: there was more to look through, so there are at least so many.
    """

    runs: tuple[Run, ...]
    entries: tuple[OutboxEntry, ...]
    relay: int | None
    exact: bool

    @property
    def known(self) -> int:
        """Runs and entries; the relay's attempts are those of the same entries."""
        return len(self.runs) + len(self.entries)


async def read_failures(parts: Parts, sync: AsyncSyncService, user_id: str | None, backlog: Backlog) -> Failures:
    """Look through the newest runs and the first entries of the outbox. Raises VectorStoreError."""
    since = datetime.now(UTC) - HOUR
    runs: list[Run] = []
    for state in (RunState.FAILED, RunState.INTERRUPTED):
        runs += await sync.list_runs(user_id=user_id, state=state, limit=LOOKED_AT)
    page = await of_truth(
        parts, lambda store: store.outbox_page(dead=None, after=None, limit=LOOKED_AT, user_id=user_id)
    )
    entries = tuple(entry for entry in page if entry.reason is not None)
    relay = backlog.failed_since(since, parts.relay.failed) if user_id is None else None
    recent = tuple(run for run in runs if run.updated_at >= since)
    return Failures(recent, entries, relay, len(page) < LOOKED_AT)
