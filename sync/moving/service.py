"""Begins a move or takes one up, and says at the end how both truths stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from persistence.errors import EmbeddingMismatchError, SyncError, shorten
from persistence.log import get_logger
from persistence.ports.runs import Run, RunKind, RunQuery, RunState
from persistence.ports.vector import StoreInfo, VectorStore
from persistence.settings import PersistenceConfig
from sync import journal as journals
from sync.asked import asked_of
from sync.conduct import STOPPING, leave, led
from sync.journal import Journal
from sync.model import OnProgress, Pace
from sync.moving.compare import Comparison, compared, summed
from sync.moving.model import Moved, MoveReport, move_json
from sync.moving.mover import Mover
from sync.moving.stores import Stores, stores
from sync.outcome import Progressing
from sync.pair import Throttle

log = get_logger("move")


async def move(
    source: VectorStore,
    target: VectorStore,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    keep_others: bool = False,
    pace: Pace | None = None,
    progress: OnProgress | None = None,
    config: PersistenceConfig | None = None,
) -> MoveReport:
    """Copy all of one open truth, or a tenant's part, into another, while writers go on at the source.

    Takes up a move from the same source that died. ``keep_others``: memories of the target that the source does not
    have, or has in an older version, stay; else they are a reason to refuse. ``dry_run``: say what would be copied.
    The stores may be of any two backends; nobody else may write into the target meanwhile. The source is only read.

    Raises EmbeddingMismatchError (another model or dimension) and SyncError (the same store twice, a target that holds
    something else) before anything is written; RunConflictError; RunCancelledError. What cannot be read or written on
    the way leaves an incomplete report, and a run that the same call takes up.
    """
    asked = asked_of(user_id, None, pace=pace)
    config = config or PersistenceConfig.load()
    _check(await source.info(), await target.info())
    request = {"source": str((await source.info()).store_id), "keep_others": keep_others}
    async with stores(source, target, Throttle(asked.pace), config) as both:
        moving = _Moving(both, asked.scope.user_id, request, config, progress)
        return await moving.planned() if dry_run else await moving.done()


def _check(source: StoreInfo, target: StoreInfo) -> None:
    if source.store_id == target.store_id:
        raise SyncError("Source and target are the same store.", hint="name another target")
    if (source.embedding_model, source.dimension) != (target.embedding_model, target.dimension):
        raise EmbeddingMismatchError(
            f"The source holds embeddings of {source.embedding_model!r} with {source.dimension} dimensions, the target"
            f" of {target.embedding_model!r} with {target.dimension}.",
            hint="move into a store for the same model",
        )


@dataclass(slots=True)
class _Moving:
    """One call of ``move``."""

    stores: Stores
    user_id: str | None
    request: Mapping[str, Any]
    config: PersistenceConfig
    progress: OnProgress | None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.perf_counter)

    async def planned(self) -> MoveReport:
        """Say what would be done."""
        plan = await self._examine()
        return self._report(None, Moved(), plan, plan, ())

    async def done(self) -> MoveReport:
        """Do it, from the beginning or from where another call left it."""
        left = await self._left_over()
        if left is not None:
            return await self._carry(await journals.resumed(self.stores.target, left.id, self.config.run_lease))
        plan = await self._examine()
        # Where most is there already, the comparison finds the rest sooner than a walk does.
        phase = "catch_up" if plan.target * 2 >= plan.source else "walk"
        asked = {**self.request, "phase": phase, "planned": plan.behind}
        target, lease = self.stores.target, self.config.run_lease
        return await self._carry(await journals.begun(target, RunKind.MOVE, self.user_id, asked, lease))

    async def _examine(self) -> Comparison:
        """Compare both before anything is written; an empty target lacks everything. Raises SyncError."""
        sizes = (await summed(self.stores, self.user_id)).sizes
        if sizes.graph == 0 and not await self._buried():
            return Comparison(sizes.vector, 0, sizes.vector, 0)
        plan = await compared(self.stores, self.user_id, self.config.sync_batch)
        if plan.others and not self.request["keep_others"]:
            raise _refusal(plan)
        return plan

    async def _buried(self) -> bool:
        user_id = self.user_id
        return bool(await self.stores.copy(lambda store: store.tombstones(user_id, after=None, limit=1)))

    async def _left_over(self) -> Run | None:
        """Return the newest move of this tenant (or of all), if it was left unfinished and asked for the same."""
        query = RunQuery(RunKind.MOVE, self.user_id or "")
        for run in await self.stores.copy(lambda store: store.runs(query, limit=1)):
            same = all(run.request.get(name) == value for name, value in self.request.items())
            if same and run.state in {RunState.RUNNING, RunState.INTERRUPTED}:
                return run
        return None

    async def _carry(self, journal: Journal) -> MoveReport:
        return await led(journal, lambda: self._through(journal))

    async def _through(self, journal: Journal) -> MoveReport:
        run = journal.run
        moved = Moved(**run.cursor) if run.cursor else Moved(run.request["phase"])
        telling = Progressing(run.id, self.progress)
        telling.total = (await summed(self.stores, self.user_id)).sizes.vector
        mover = Mover(
            self.stores,
            journal,
            moved,
            batch=self.config.sync_batch,
            keep_others=self.request["keep_others"],
            progress=telling.at,
        )
        try:
            left = await mover.run()
        except STOPPING as error:
            log.warning("A store went away in the middle.", action="move", reason=error.message)
            report = self._report(run, moved, None, Comparison(0, 0, 0, 0), (error.message,))
            await leave(journal, RunState.INTERRUPTED, move_json(report))
            return report
        report = self._report(run, moved, left, left, self._notes(left))
        await leave(journal, RunState.DONE, move_json(report))
        return report

    def _notes(self, left: Comparison) -> tuple[str, ...]:
        notes = []
        if left.behind:
            notes.append(
                f"Somebody goes on writing at the source: {left.behind:,} memories are newer there. Stop that, and the"
                " same call brings the rest."
            )
        if left.others:
            stay = "stay" if self.request["keep_others"] else "were written into the target by somebody else"
            notes.append(f"{left.others:,} memories that the source does not have, or has in an older version, {stay}.")
        return tuple(notes)

    def _report(
        self, run: Run | None, moved: Moved, left: Comparison | None, last: Comparison, notes: tuple[str, ...]
    ) -> MoveReport:
        others_matter = last.others and not self.request["keep_others"]
        complete = left is not None
        return MoveReport(
            run_id=run.id if run else None,
            user_id=self.user_id,
            dry_run=run is None,
            complete=complete,
            in_step=complete and not last.behind and not others_matter,
            source=last.source,
            target=last.target,
            planned=run.request["planned"] if run else last.behind,
            copied=moved.copied,
            deleted=moved.deleted,
            behind=last.behind,
            others=last.others,
            rounds=moved.rounds,
            notes=notes,
            started_at=run.started_at if run else self.started_at,
            duration_ms=(time.perf_counter() - self.began) * 1_000,
        )


def _refusal(plan: Comparison) -> SyncError:
    example = f", such as {shorten(plan.example.id)} of {shorten(plan.example.user_id)}" if plan.example else ""
    return SyncError(
        f"The target holds {plan.others:,} memories that the source lacks, or has in an older version{example}.",
        hint="--keep-others leaves them as they are; or begin with an empty target",
    )
