"""AsyncSyncService: finds where the graph is not what truth says, mends it, rebuilds the graph, and keeps a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from persistence.assembly import Parts
from persistence.errors import InvalidInputError, RunNotFoundError, SyncError
from persistence.gates import GraphRole
from persistence.ports.runs import (
    Depth,
    InconsistencyQuery,
    Kind,
    Recorded,
    Run,
    RunKind,
    RunQuery,
    RunState,
)
from persistence.retry import Deadline
from persistence.service import AsyncPersistenceService
from sync import journal as journals
from sync.asked import Asked, Once, asked_of, checked_request
from sync.conduct import Conductor
from sync.journal import JOURNAL_TIME, Journal
from sync.model import (
    CheckReport,
    OnProgress,
    Pace,
    RebuildReport,
    RepairReport,
    Strategy,
    SyncResult,
    SyncStats,
)
from sync.pair import Pair, Throttle
from sync.stats import gather_stats, gather_tenant

#: Inconsistencies in a report, if nothing else is said, and at most.
LIMIT, MAX_LIMIT = 100, 1_000

#: What has to be asked for alike, for a rebuild that was left unfinished to be taken up.
SAME = ("clear_existing", "re_extract", "force", "dry_run")

Report = CheckReport | RepairReport | RebuildReport | SyncResult
R = TypeVar("R", CheckReport, RepairReport, RebuildReport, SyncResult)


class AsyncSyncService:
    """Checks, repairs and rebuilds of the stores of one open service.

        sync = AsyncSyncService(memories)
        report = await sync.check_consistency(user_id="u1")
        if not report.in_step:
            await sync.repair_inconsistencies(user_id="u1", dry_run=False)

    ``user_id`` None: all tenants. Every call is a run: a durable record with a cursor, which another process can take
    up where a dead one left it. One run of a kind goes on per tenant; a second one raises RunConflictError. All raise
    InvalidInputError for bad input; VectorStoreError where the run itself cannot be kept. What a run cannot read it
    reports: ``complete`` is False then. Cancelling a call interrupts its run, which can be resumed. ``once`` is kept
    with the run, for those who ask again and mean the same run.
    """

    def __init__(self, memories: AsyncPersistenceService) -> None:
        self._memories = memories

    @property
    def memories(self) -> AsyncPersistenceService:
        """The open service whose stores are meant."""
        return self._memories

    @property
    def _parts(self) -> Parts:
        return self._memories.parts

    # --- the four things it does --------------------------------------------------------------------------------

    async def check_consistency(
        self,
        depth: Depth | str = Depth.QUICK,
        *,
        user_id: str | None = None,
        ids: Sequence[str] | None = None,
        limit: int = LIMIT,
        pace: Pace | None = None,
        once: Once | None = None,
        progress: OnProgress | None = None,
    ) -> CheckReport:
        """Compare both stores, both ways. Reads; changes nothing but the records of runs and inconsistencies.

        ``ids``: only these memories of the tenant. ``limit``: inconsistencies in the report; all of them are recorded.
        """
        asked = asked_of(user_id, ids, depth=depth, limit=limit, pace=pace, once=once)
        return _as(CheckReport, await self._begin(RunKind.CHECK, asked, progress))

    async def repair_inconsistencies(
        self,
        depth: Depth | str = Depth.QUICK,
        *,
        user_id: str | None = None,
        ids: Sequence[str] | None = None,
        dry_run: bool = True,
        strategy: Strategy | str = Strategy.TRUTH_WINS,
        force: bool = False,
        run_id: UUID | None = None,
        limit: int = LIMIT,
        pace: Pace | None = None,
        once: Once | None = None,
        progress: OnProgress | None = None,
    ) -> RepairReport:
        """Bring the graph to what truth says; a dry run (the default) says what it would do, in the same shape.

        ``run_id``: mend what that check, or that dry run, was the last to find, each looked at afresh, instead of
        checking everything. ``force``: delete orphans above the cap (1,000 and 10 % of the tenant's memories).
        """
        asked = asked_of(
            user_id,
            ids,
            depth=depth,
            limit=limit,
            pace=pace,
            dry_run=dry_run,
            strategy=strategy,
            force=force,
            once=once,
        )
        if run_id is not None:
            asked = await self._of_check(asked, run_id)
        return _as(RepairReport, await self._begin(RunKind.REPAIR, asked, progress))

    async def full_sync(
        self,
        depth: Depth | str = Depth.QUICK,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
        strategy: Strategy | str = Strategy.TRUTH_WINS,
        force: bool = False,
        limit: int = LIMIT,
        pace: Pace | None = None,
        once: Once | None = None,
        progress: OnProgress | None = None,
    ) -> SyncResult:
        """Work the outbox off, check, repair, check again; the second report is what is left.

        Before it begins, the record of runs is cut down to the setting ``run_retention``.
        """
        asked = asked_of(
            user_id,
            None,
            depth=depth,
            limit=limit,
            pace=pace,
            dry_run=dry_run,
            strategy=strategy,
            force=force,
            once=once,
        )
        await self.prune(age=self._parts.config.run_retention)
        return _as(SyncResult, await self._begin(RunKind.FULL, asked, progress))

    async def rebuild_graph(
        self,
        *,
        user_id: str | None = None,
        clear_existing: bool = False,
        re_extract: bool = False,
        dry_run: bool = False,
        force: bool = False,
        pace: Pace | None = None,
        once: Once | None = None,
        progress: OnProgress | None = None,
    ) -> RebuildReport:
        """Write the graph anew from truth, while everything goes on; takes up a rebuild of the tenant that died.

        ``clear_existing``: empty the tenant's graph first (one tenant only); until it is done, reads of the graph miss
        what is not there yet. ``re_extract``: run the extractor again over memories whose entities it made. ``force``:
        delete orphans above the cap.
        """
        asked = asked_of(
            user_id,
            None,
            pace=pace,
            dry_run=dry_run,
            force=force,
            clear_existing=clear_existing,
            re_extract=re_extract,
            once=once,
        )
        dead = None if dry_run else await self._left_over(asked)
        if dead is not None:
            return _as(RebuildReport, await self.resume_run(dead.id, progress=progress))
        return _as(RebuildReport, await self._begin(RunKind.REBUILD, asked, progress))

    # --- runs ---------------------------------------------------------------------------------------------------

    async def resume_run(self, run_id: UUID, *, progress: OnProgress | None = None) -> Report:
        """Take a run up where it was left. Raises RunNotFoundError, RunEndedError, RunConflictError.

        A move (``sync.moving``) is taken up by the call that began it: SyncError.
        """
        self._require_graph()
        if (await self.get_run(run_id)).kind is RunKind.MOVE:
            raise SyncError("A move needs both of its stores.", hint="repeat the command `diptych migrate …`")
        return await self._carry(
            await journals.resumed(self._parts.truth, run_id, self._parts.config.run_lease), progress
        )

    async def cancel_run(self, run_id: UUID) -> Run:
        """Ask a run to stop, wherever it runs. Raises RunNotFoundError."""
        truth = self._parts.truth
        return await truth.change(lambda: truth.store.cancel_run(run_id), Deadline(JOURNAL_TIME))

    async def get_run(self, run_id: UUID) -> Run:
        """Return a run. Raises RunNotFoundError."""
        truth = self._parts.truth
        run = await truth.read(lambda: truth.store.run(run_id), Deadline(JOURNAL_TIME))
        if run is None:
            raise RunNotFoundError
        return run

    async def list_runs(
        self,
        *,
        kind: RunKind | None = None,
        user_id: str | None = None,
        state: RunState | None = None,
        before: UUID | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """List runs, the newest first, from beyond the run ``before``."""
        _check_limit(limit)
        truth, query = self._parts.truth, RunQuery(kind, user_id, state)
        return await truth.read(lambda: truth.store.runs(query, before=before, limit=limit), Deadline(JOURNAL_TIME))

    async def list_inconsistencies(
        self,
        *,
        user_id: str | None = None,
        kind: Kind | None = None,
        run_id: UUID | None = None,
        open: bool | None = True,  # noqa: A002  # the word an operator looks for
        after: int = 0,
        limit: int = 100,
    ) -> list[Recorded]:
        """List recorded inconsistencies in the order of their numbers, from beyond ``after``."""
        _check_limit(limit)
        truth, query = self._parts.truth, InconsistencyQuery(user_id, kind, run_id, open)
        return await truth.read(
            lambda: truth.store.inconsistencies(query, after=after, limit=limit), Deadline(JOURNAL_TIME)
        )

    async def get_stats(self, *, user_id: str | None = None) -> SyncStats:
        """Return the last checks, drift now and over time, totals; what was never measured is None.

        ``user_id``: of this tenant's own runs and inconsistencies only; what is summed up over all of them is None.
        """
        return await (gather_stats(self._parts) if user_id is None else gather_tenant(self._parts, user_id))

    async def prune(self, *, age: float) -> int:
        """Remove ended runs and resolved inconsistencies older than ``age`` seconds; return how many."""
        if age <= 0:
            raise InvalidInputError("age", age, "it must be more than 0 seconds")
        truth, removed = self._parts.truth, 0
        while some := await truth.change(lambda: truth.store.prune(age=age), Deadline(JOURNAL_TIME)):
            removed += some
        return removed

    # --- how a run is led ---------------------------------------------------------------------------------------

    async def _begin(self, kind: RunKind, asked: Asked, progress: OnProgress | None) -> Report:
        self._require_graph()
        checked_request(kind, asked)
        lease = self._parts.config.run_lease
        journal = await journals.begun(self._parts.truth, kind, asked.scope.user_id, asked.saved(), lease)
        return await self._carry(journal, progress)

    async def _carry(self, journal: Journal, progress: OnProgress | None) -> Report:
        asked = Asked.restored(journal.run.user_id, journal.run.request)
        pair = Pair(self._parts, Throttle(asked.pace, look=journal.look), seconds=self._parts.config.sync_timeout)
        return await Conductor(pair, journal, asked, progress).carry()

    def _require_graph(self) -> None:
        if self._parts.graph.role is GraphRole.DISABLED:
            raise SyncError(
                "This service has no graph store, so there is nothing to compare with truth.",
                hint="give a graph URL, such as neo4j://…",
            )

    async def _of_check(self, asked: Asked, run_id: UUID) -> Asked:
        """Return the request for what a check found."""
        run = await self.get_run(run_id)
        planned = run.kind is RunKind.REPAIR and bool(run.request["dry_run"])
        if run.kind is not RunKind.CHECK and not planned:
            raise InvalidInputError("run_id", str(run_id), "it must be the run of a check, or of a repair's dry run")
        if run.state is not RunState.DONE:
            raise InvalidInputError("run_id", str(run_id), "that check has not been brought to its end")
        if asked.scope.user_id not in {None, run.user_id}:
            raise InvalidInputError("user_id", asked.scope.user_id, "that check was of another tenant")
        return asked.of_check(run)

    async def _left_over(self, asked: Asked) -> Run | None:
        """Return the newest rebuild of the same tenant, if it was left unfinished and asked for the same."""
        truth, scope = self._parts.truth, asked.scope
        query = RunQuery(RunKind.REBUILD, scope.user_id or "")
        runs = await truth.read(lambda: truth.store.runs(query, limit=1), Deadline(JOURNAL_TIME))
        unfinished = [run for run in runs if run.state in {RunState.RUNNING, RunState.INTERRUPTED}]
        wanted = asked.saved()
        return next((run for run in unfinished if all(run.request[name] == wanted[name] for name in SAME)), None)


def _as(kind: type[R], report: Report) -> R:
    if not isinstance(report, kind):
        raise SyncError(f"The run ended with a {type(report).__name__}, not a {kind.__name__}.")
    return report


def _check_limit(limit: int) -> None:
    if limit not in range(1, MAX_LIMIT + 1):
        raise InvalidInputError("limit", limit, f"it must be 1 to {MAX_LIMIT}")
