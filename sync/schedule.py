"""AutoSync: checks on a schedule, in the loop of the app that opened the service, by one process at a time.

``sync.schedule.opened`` opens a service and runs the schedule beside it where the setting ``enable_auto_sync`` says so.
When a check is due, the settings ``sync_quick_every``, ``sync_structure_every`` and ``sync_full_every`` say; what
follows from what it finds, ``sync_policy``:

- ``none``: it is in the record;
- ``report_only``: alerts besides (see ``sync.alerts``);
- ``repair``: alerts, and a repair (``truth_wins``, so with the cap on orphans), where the check was complete.

After each check, runs and resolved inconsistencies older than ``run_retention`` are removed from the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from persistence.bounded import being_cancelled
from persistence.errors import PersistenceError, RunConflictError
from persistence.gates import GraphRole
from persistence.log import get_logger
from persistence.ports.runs import Depth, Run
from persistence.service import AsyncPersistenceService
from sync.alerts import Hook, configured_hooks
from sync.due import Timetable
from sync.journal import RENEWALS
from sync.leases import Leadership, Names
from sync.model import CheckReport, Pace
from sync.service import AsyncSyncService
from sync.timing import timings_of
from sync.watch import Watch

log = get_logger("auto_sync")

LEASE = "auto-sync"


def _utc() -> datetime:
    return datetime.now(UTC)


class AutoSync:
    """Checks all tenants of an open service on the schedule of its settings.

        async with AsyncPersistenceService.connect() as memories, AutoSync(memories, hooks=[page_me]):
            ...

    Any number of processes may run it: one of them, which holds a lease for ``run_lease`` seconds, does the work, and
    another one takes over where it dies. What is due is decided by the record of runs. A check that was interrupted is
    taken up where it was left; one that another check is in the way of is put off until that one has ended, and then
    the record decides again. The deepest check that is due does the work of the others. ``checks``, ``repairs``,
    ``skipped`` and ``failed`` count what this process did; a check is skipped where another one was under way.
    ``clock`` and ``sleep`` are given by tests. Raises ConfigurationError, ServiceClosedError.
    """

    def __init__(
        self,
        memories: AsyncPersistenceService,
        *,
        hooks: Sequence[Hook] = (),
        pace: Pace | None = None,
        clock: Callable[[], datetime] = _utc,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        parts = memories.parts
        self._config = parts.config
        self._has_graph = parts.graph.role is not GraphRole.DISABLED
        self._sync = AsyncSyncService(memories)
        self._timetable = Timetable(parts.truth, timings_of(parts.config))
        self._lead = Leadership(Names(parts.truth), LEASE, parts.config.run_lease)
        told = () if parts.config.sync_policy == "none" else (*hooks, *configured_hooks(parts.config))
        self._watch = Watch(
            parts.truth, told, remind=parts.config.sync_remind_every, enough=parts.config.sync_incomplete_after
        )
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        #: How far this process's clock is ahead of the truth store's, by which the record is kept.
        self._ahead = timedelta()
        self._task: asyncio.Task[None] | None = None
        self._in_the_way: UUID | None = None
        self.checks = self.repairs = self.skipped = self.failed = 0

    # --- running ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watched(), name="diptych-auto-sync")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def _watched(self) -> None:
        """Say at once where it ends by a defect, and not only when the block is left."""
        try:
            await self.run()
        except Exception:
            log.exception("The schedule of checks ended by a defect.", action="auto_sync")
            raise

    async def run(self) -> None:
        """Work until cancelled; nothing that a store or a hook does ends it. Returns where there is no graph."""
        if not self._has_graph:
            log.info("There is no graph store, so there is nothing to check.", action="auto_sync")
            return
        rest = 0.0
        try:
            while not being_cancelled():  # a cancellation may come out of a turn as another error, and must not be lost
                await self._sleep(rest)
                rest = await self.turn()
        finally:
            await asyncio.shield(self._lead.give_back())

    async def turn(self) -> float:
        """Do what is due, if it is this process's turn; return the seconds until there is to be looked again."""
        try:
            if await self._lead.take():
                async with self._lead.kept():
                    await self._work()
        except RunConflictError as error:
            self._overlap(error)
        except PersistenceError as error:
            self.failed += 1
            log.warning("The schedule could not work and will try again.", action="auto_sync", reason=error.message)
        return self._rest()

    def _rest(self) -> float:
        """Return how long to rest: the lease has to be renewed in time."""
        longest = self._config.run_lease / RENEWALS
        due = self._timetable.next_time()
        left = (due - self._now()).total_seconds() if due is not None else longest
        return min(left, longest) if left > 0 else longest

    # --- what is due --------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        await self._watch.look()
        depth = await self._timetable.due(self._now())
        if depth is None:
            return
        report = await self._check(depth)
        await self._watch.look()
        await self._sync.prune(age=self._config.run_retention)
        if report.found and report.complete and self._config.sync_policy == "repair":
            await self._repair(report)

    async def _check(self, depth: Depth) -> CheckReport:
        began = self._now()
        left = await self._timetable.left_over(depth, began)
        report = await (self._resumed(left) if left else self._sync.check_consistency(depth, pace=self._pace))
        self.checks += 1
        self._say(report)
        ended = self._now()
        await self._set_clock(report)
        if self._timetable.overrun(depth, began, ended):
            self.skipped += 1
            log.info("A check ran into its next time, which is skipped.", action="auto_sync", depth=depth.value)
        return report

    def _now(self) -> datetime:
        return self._clock() - self._ahead

    async def _set_clock(self, report: CheckReport) -> None:
        """Go by the clock of the record from now on: by one that is ahead, what was just done would be due again."""
        run = await self._sync.get_run(report.run_id)
        if run.finished_at is not None:
            self._ahead = self._clock() - run.finished_at

    async def _resumed(self, left: Run) -> CheckReport:
        log.info("A check that was left unfinished is taken up.", action="auto_sync", run_id=str(left.id))
        report = await self._sync.resume_run(left.id)
        if not isinstance(report, CheckReport):
            raise TypeError(f"the run {left.id} is no check")
        return report

    async def _repair(self, report: CheckReport) -> None:
        """Mend what was found, looked for afresh: a check that found a graph emptied has not listed everything."""
        repaired = await self._sync.repair_inconsistencies(report.depth, dry_run=False, pace=self._pace)
        self.repairs += 1
        log.info(
            "Drift was repaired.",
            action="auto_sync",
            run_id=str(repaired.check.run_id),
            repaired=repaired.repaired,
            refused=repaired.refused,
            failed=repaired.failed,
        )

    # --- what is said -------------------------------------------------------------------------------------------

    def _overlap(self, error: RunConflictError) -> None:
        """Count and say it once for each run that is in the way, however often it is met."""
        other = error.run.id if isinstance(error.run, Run) else None
        if other is None or other != self._in_the_way:
            self.skipped += 1
            log.info("A scheduled run is put off.", action="auto_sync", run_id=str(other), reason=error.message)
        self._in_the_way = other

    def _say(self, report: CheckReport) -> None:
        say = log.info if report.complete and not report.found else log.warning
        say(
            "A scheduled check is done.",
            action="auto_sync",
            run_id=str(report.run_id),
            depth=report.depth.value,
            complete=report.complete,
            found=report.found,
            pending=report.pending,
            duration_ms=round(report.duration_ms, 3),
        )


@asynccontextmanager
async def opened(
    memories: AsyncPersistenceService, *, hooks: Sequence[Hook] = (), pace: Pace | None = None
) -> AsyncIterator[AsyncSyncService]:
    """Open a service for the block, and run the schedule beside it where the setting ``enable_auto_sync`` is on.

    Written ``async with opened(memories := AsyncPersistenceService.connect()) as sync: …``.
    """
    async with memories:
        sync = AsyncSyncService(memories)
        if not memories.parts.config.enable_auto_sync:
            yield sync
            return
        async with AutoSync(memories, hooks=hooks, pace=pace):
            yield sync
