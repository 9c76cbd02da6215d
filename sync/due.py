"""Which check is due, by the durable record of runs alone: a restart neither forgets a check nor repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from persistence.gates import TruthGate
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState
from persistence.retry import Deadline
from sync.journal import JOURNAL_TIME
from sync.timing import Timing

#: Runs that are read at once.
PAGE = 50
ALL_TENANTS = ""
#: A full sync ends with a check.
CHECKING = (RunKind.CHECK, RunKind.FULL)


class Timetable:
    """The checks of all tenants, each depth with its timing. A check counts for every depth that is no deeper than it.

    Whoever made a check, by hand or by schedule, it counts; one that failed or was cancelled does, too: its next time
    is the regular one. A depth that was never checked is due.
    """

    def __init__(self, truth: TruthGate, timings: Mapping[Depth, Timing]) -> None:
        self._truth = truth
        self._timings = timings
        #: What the record has said; it takes nothing back, so there is no need to ask before that time.
        self._next: dict[Depth, datetime] = {}

    async def due(self, now: datetime) -> Depth | None:
        """Return the deepest check that is due: it does what the others would."""
        for depth in sorted(self._timings, key=lambda depth: depth.rank, reverse=True):
            if depth in self._next and self._next[depth] > now:
                continue
            at = await self._next_of(depth, now)
            if at is None:
                return depth
            self._next[depth] = at
        return None

    def next_time(self) -> datetime | None:
        """Return when the next check is due, as far as that is known."""
        return min(self._next.values(), default=None)

    def overrun(self, depth: Depth, began: datetime, now: datetime) -> bool:
        """Say whether a check that began then has run into its next time."""
        timing = self._timings.get(depth)
        return timing is not None and timing.next(began, 0) <= now

    async def left_over(self, depth: Depth, now: datetime) -> Run | None:
        """Return the check of this depth that was left unfinished, if its next time has not come since it began."""
        found = [run for state in (RunState.RUNNING, RunState.INTERRUPTED) for run in await self._newest(state)]
        newest = max(found, key=lambda run: run.id, default=None)
        if newest is None or _depth(newest) is not depth or self.overrun(depth, newest.started_at, now):
            return None
        return newest

    async def _newest(self, state: RunState) -> list[Run]:
        return await self._read(RunQuery(RunKind.CHECK, ALL_TENANTS, state), None, 1)

    async def _next_of(self, depth: Depth, now: datetime) -> datetime | None:
        """Return when a check of this depth is due next, None where it is due now.

        Runs are in the order in which they began; where one has begun too long ago to count, those before it have, too.
        """
        times = [at for kind in CHECKING if (at := await self._next_after(kind, depth, now)) is not None]
        return max(times, default=None)

    async def _next_after(self, kind: RunKind, depth: Depth, now: datetime) -> datetime | None:
        timing, before = self._timings[depth], None
        while page := await self._read(RunQuery(kind, ALL_TENANTS, finished=True), before, PAGE):
            times = [_after(timing, run) for run in page if _depth(run).rank >= depth.rank]
            if times and max(times) > now:
                return max(times)
            before = page[-1].id
            if timing.next(page[-1].started_at, page[-1].id.int) <= now:
                break
        return None

    async def _read(self, query: RunQuery, before: UUID | None, limit: int) -> list[Run]:
        store = self._truth.store
        return await self._truth.read(lambda: store.runs(query, before=before, limit=limit), Deadline(JOURNAL_TIME))


def _depth(run: Run) -> Depth:
    return Depth(run.request["depth"])


def _after(timing: Timing, run: Run) -> datetime:
    """Return the next time after a check; the run's id is random enough to spread them."""
    return timing.next(run.finished_at or run.updated_at, run.id.int)
