"""Leads one run from its beginning (or its cursor) to its end: journal, report, and what an error leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from persistence.errors import LeaseLostError, OutcomeUnknownError, PersistenceError, RunCancelledError
from persistence.gates import PROBE_TIME, GraphRole
from persistence.log import get_logger
from persistence.ports.observer import SyncRun
from persistence.ports.runs import RunKind, RunState
from persistence.results import Count, OutboxStats
from persistence.watching import Watching
from sync.asked import Asked
from sync.check import Check, Position
from sync.extract import Extraction
from sync.journal import JOURNAL_TIME, LEAVING_TIME, Journal, RunStoppedError
from sync.model import CheckReport, OnProgress, RebuildReport, RepairReport, SyncResult
from sync.orphans import Orphans
from sync.outcome import Progressing, check_report, rebuild_plan, rebuild_report, repair_report
from sync.pair import UNREADABLE, Pair
from sync.rebuild import Rebuild, Written
from sync.recheck import CheckOfRun
from sync.repair import Counts, Repair
from sync.reports import check_json, rebuild_json, repair_json, sync_json
from sync.tally import Tally

log = get_logger("sync")

T = TypeVar("T")
Report = CheckReport | RepairReport | RebuildReport | SyncResult

#: What stops a run without anything being wrong with it: it is reported as incomplete.
STOPPING = (*UNREADABLE, OutcomeUnknownError)
#: Entries of a tenant or of all that are counted.
PENDING_BOUND = 1_000_000
#: Memories that are counted for a plan, and for how far a rebuild is.
PLANNED_BOUND = 1_000_000
#: Nodes of each kind that are counted at the end of a rebuild, which has written them one by one.
NODES_BOUND = 10_000_000


class Conductor:
    """Carries one run through."""

    def __init__(self, pair: Pair, journal: Journal, asked: Asked, tell: OnProgress | None) -> None:
        self._pair = pair
        self._parts = pair.parts
        self._journal = journal
        self._asked = asked
        self._progress = Progressing(journal.id, tell)
        self._cursor: Mapping[str, Any] = journal.run.cursor or {}
        self._started = time.perf_counter()

    async def carry(self) -> Report:
        """Bring the run to its end. Raises RunCancelledError where it was asked to stop, and what a defect raises."""
        kinds: Mapping[RunKind, Callable[[], Coroutine[Any, Any, Report]]] = {
            RunKind.CHECK: self._check,
            RunKind.REPAIR: self._repair,
            RunKind.REBUILD: self._rebuild,
            RunKind.FULL: self._full,
        }
        work, run = kinds[self._journal.run.kind], self._journal.run
        self._progress.at("begun", 0)
        told = SyncRun(str(run.id), run.kind.value, self._asked.depth.value, run.user_id)
        with Watching(self._parts.observer, told):
            return await self._told(told, led(self._journal, work))

    async def _told(self, told: SyncRun, work: Awaitable[Report]) -> Report:
        """Do the work, and note down for the observer how it ended."""
        try:
            report = await work
        finally:
            told.state = self._journal.run.state.value
        check = _found_by(report)
        told.complete = report.complete if isinstance(report, RebuildReport) else check is not None and check.complete
        told.found = {kind.value: number for kind, number in check.counts.items()} if check else {}
        return report

    # --- the four kinds -----------------------------------------------------------------------------------------

    async def _check(self) -> CheckReport:
        check = self._new_check(self._cursor, self._journal.checkpoint)
        complete = await self._through(check.tally, self._recorded(check))
        report = await self._checked(check, self._journal.run.started_at)
        if complete and report.complete and self._asked.scope.ids is None:
            await self._journal.resolve_unseen(self._asked.depth, self._journal.run.started_at)
        await leave(self._journal, RunState.DONE, check_json(report))
        return report

    async def _repair(self) -> RepairReport:
        repair = self._new_repair(self._cursor)
        report = await self._repaired(repair)
        await leave(
            self._journal, RunState.DONE if report.check.complete else RunState.INTERRUPTED, repair_json(report)
        )
        return report

    async def _full(self) -> SyncResult:
        """Repair, then check what is left; a resumed one goes on in the stage that it was in."""
        repair = self._new_repair(self._cursor.get("repair", {}), stage="repair")
        if self._cursor.get("stage", "repair") == "repair":
            repaired = await self._repaired(repair)
            await self._journal.save({"stage": "after", "repair": repair.saved()})
        else:
            repaired = await self._repair_report(repair)
        began = time.perf_counter()
        check = self._new_check({}, lambda _: self._journal.checkpoint({"stage": "after", "repair": repair.saved()}))
        await self._through(check.tally, self._recorded(check))
        after = await self._checked(check, self._journal.run.started_at, since=began)
        result = SyncResult(self._journal.id, repaired, after, (time.perf_counter() - self._started) * 1_000)
        await leave(self._journal, RunState.DONE if after.complete else RunState.INTERRUPTED, sync_json(result))
        return result

    async def _rebuild(self) -> RebuildReport:
        report = await (self._plan() if self._asked.dry_run else self._written_anew())
        state = RunState.DONE if report.complete else RunState.INTERRUPTED
        await leave(self._journal, state, rebuild_json(report))
        return report

    async def _plan(self) -> RebuildReport:
        """Count what truth has. What the graph has besides takes the rebuild itself to know."""
        tally, counted = Tally(limit=0), Count(None, exact=False)

        async def count() -> None:
            nonlocal counted
            counted = await self._count(bound=PLANNED_BOUND)

        await self._through(tally, count())
        seconds = time.perf_counter() - self._started
        run = self._journal.run
        return rebuild_plan(run.id, self._asked, counted, run.started_at, notes=tuple(tally.notes), seconds=seconds)

    async def _written_anew(self) -> RebuildReport:
        orphans = Orphans(self._pair, self._journal, self._asked.force)
        written = self._written()
        orphans.numbers.update(written.orphans)
        notes: list[str] = []
        tally = Tally(limit=0)
        if self._pair.independent:
            rebuild = Rebuild(
                self._pair,
                self._asked.scope,
                self._journal,
                orphans,
                written,
                self._parts.config.sync_batch,
                Extraction(self._pair) if self._asked.re_extract else None,
                self._asked.clear_existing,
                self._progress.at,
            )
            self._progress.total = await self._total()
            await self._through(tally, rebuild.run())
        else:
            notes.append("The graph of this process's memory is projected from truth whenever it is read.")
        return await self._rebuilt(written, orphans, tally, notes)

    # --- parts of them ------------------------------------------------------------------------------------------

    def _new_check(self, cursor: Mapping[str, Any], checkpoint: Any) -> Check:
        """Make a check that begins where the cursor says."""
        kind = CheckOfRun if self._asked.of_run is not None else Check
        asked = self._asked
        check = kind(self._pair, asked.scope, asked.depth, _tally(asked, cursor), self._journal.run.started_at)
        check.position = Position.restored(cursor["position"]) if "position" in cursor else Position()
        if isinstance(check, CheckOfRun):
            check.of_run = asked.of_run or ""

        async def step() -> None:
            self._progress.at(check.position.phase, check.tally.vector)
            await checkpoint(check.saved())

        check.checkpoint = step
        return check

    async def _recorded(self, check: Check) -> None:
        """Go through a check and keep what it finds."""
        self._progress.total = await check.size()
        async with aclosing(check.findings(counting=True)) as steps:
            async for found in steps:
                await self._journal.record(found.drift)

    def _new_repair(self, cursor: Mapping[str, Any], *, stage: str | None = None) -> Repair:
        """Make a repair that begins where the cursor says; ``stage``: it is a part of a full sync."""

        async def checkpoint(_: Any) -> None:
            await self._journal.checkpoint(_staged(stage, repair.saved()))

        check = self._new_check(cursor, checkpoint)
        counts = Counts(**cursor["repair"]) if "repair" in cursor else Counts()
        orphans = Orphans(self._pair, self._journal, self._asked.force, dict(counts.orphans))
        asked = self._asked
        repair = Repair(check, self._journal, orphans, asked.strategy, asked.applies, not asked.known, stage, counts)
        return repair

    async def _repaired(self, repair: Repair) -> RepairReport:
        if self._asked.applies:
            await self._through(repair.check.tally, self._work_off())
        await self._through(repair.check.tally, repair.run())
        return await self._repair_report(repair)

    async def _repair_report(self, repair: Repair) -> RepairReport:
        check = await self._checked(repair.check, self._journal.run.started_at)
        notes, seconds = tuple(repair.orphans.sentences), time.perf_counter() - self._started
        return repair_report(check, self._asked, repair.counts, notes, pending=check.pending, seconds=seconds)

    async def _work_off(self) -> None:
        """Bring up what is due: a repair begins with what is listed already."""
        if self._pair.independent and await self._parts.graph.probe(PROBE_TIME):
            while await self._parts.relay.work():
                self._journal.check()

    async def _through(self, tally: Tally, work: Awaitable[None]) -> bool:
        """Do some work; a store that goes away in it ends it, and is said."""
        try:
            await work
        except STOPPING as error:
            log.warning("A store went away in the middle.", action="sync", reason=error.message)
            tally.lost(error.message)
            return False
        return True

    async def _checked(self, check: Check, started_at: Any, *, since: float | None = None) -> CheckReport:
        outbox = await self._outbox()
        if outbox is None:
            check.tally.note("The outbox could not be read.")
        seconds = time.perf_counter() - (since or self._started)
        independent = self._pair.independent
        return check_report(
            self._journal.id, self._asked, check.tally, outbox, started_at, independent=independent, seconds=seconds
        )

    async def _outbox(self) -> OutboxStats | None:
        keys, user_id = self._asked.scope.keys, self._asked.scope.user_id
        try:
            if keys is None:
                return await self._pair.truth(lambda store: store.outbox_stats(user_id, bound=PENDING_BOUND))
            entries = await self._pair.truth(lambda store: store.pending(keys))
        except UNREADABLE:
            return None
        dead = sum(entry.dead for entry in entries.values())
        return OutboxStats(len(entries) - dead, dead, None)

    def _written(self) -> Written:
        if self._cursor:
            return Written(**self._cursor)
        return Written(self._journal.run.token, "clear" if self._asked.clear_existing else "walk")

    async def _rebuilt(self, written: Written, orphans: Orphans, tally: Tally, notes: list[str]) -> RebuildReport:
        return rebuild_report(
            self._journal.id,
            self._asked,
            written,
            self._journal.run.started_at,
            complete=tally.unknown == 0,
            nodes=await self._nodes(),
            refused=orphans.refused,
            notes=(*notes, *tally.notes),
            seconds=time.perf_counter() - self._started,
        )

    async def _nodes(self) -> int | None:
        """Return the nodes that the graph has now, None where it does not say."""
        if self._parts.graph.role is not GraphRole.REGISTERED:
            return None
        try:
            user_id = self._asked.scope.user_id
            counts = await self._pair.graph(lambda store: store.counts(user_id, bound=NODES_BOUND))
        except UNREADABLE:
            return None
        if counts.memories is None or counts.entities is None or not counts.exact:
            return None
        return counts.memories + counts.entities

    async def _total(self) -> int | None:
        try:
            return (await self._count(bound=PLANNED_BOUND)).value
        except UNREADABLE:
            return None

    async def _count(self, *, bound: int) -> Count:
        return await self._pair.truth(lambda store: store.count(self._asked.scope.user_id, bound=bound))


async def led(journal: Journal, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do a run's work with its lease kept alive; leave its record as what ends the work says."""
    async with journal.held():
        try:
            return await work()
        except RunStoppedError:
            await leave(journal, RunState.CANCELLED, {"cancelled": True})
            raise RunCancelledError(None, journal.id) from None
        except asyncio.CancelledError:
            with contextlib.suppress(LeaseLostError):  # whoever has it now goes on with it
                report = {"interrupted": "its call was cancelled"}
                await asyncio.shield(leave(journal, RunState.INTERRUPTED, report, within=LEAVING_TIME))
            raise
        except PersistenceError as error:
            await leave(journal, RunState.FAILED, {"error": error.message})
            raise


async def leave(journal: Journal, state: RunState, report: Mapping[str, Any], *, within: float = JOURNAL_TIME) -> None:
    """End the run, as far as its store can be reached; otherwise its lease ends by itself."""
    try:
        await journal.finish(state, report, within=within)
    except STOPPING as error:
        log.warning("The record of a run could not be finished.", action="finish_run", reason=error.message)


def _found_by(report: Report) -> CheckReport | None:
    """Return the check in a report that says what was found: the first one, where something was mended after it."""
    match report:
        case CheckReport():
            return report
        case RepairReport():
            return report.check
        case SyncResult():
            return report.repair.check
    return None


def _tally(asked: Asked, cursor: Mapping[str, Any]) -> Tally:
    return Tally.restored(asked.limit, cursor["tally"]) if "tally" in cursor else Tally(asked.limit)


def _staged(stage: str | None, saved: Mapping[str, Any]) -> Mapping[str, Any]:
    return saved if stage is None else {"stage": stage, stage: saved}
