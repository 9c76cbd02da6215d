"""Runs and their leases. The lease is in the run's row: every change asks for its token in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from typing import Any
from uuid import UUID

from persistence.errors import InvalidInputError, RunConflictError, RunEndedError, RunNotFoundError, shorten
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState, RunTotals
from persistence.vector.memory.found import FoundPart, held
from persistence.vector.memory.run_rows import Lease, RunRow, to_run
from persistence.vector.memory.state import State, Table, Transaction
from persistence.vector.memory.times import later, timed_uuid
from persistence.vector.payloads import object_text

_UNFINISHED = frozenset({RunState.RUNNING, RunState.INTERRUPTED})
_ENDED = frozenset({RunState.DONE, RunState.FAILED})


class Runs(FoundPart):
    """What the port says of runs, their leases, and what they found."""

    async def begin_run(
        self, kind: RunKind, user_id: str | None, request: Mapping[str, Any], *, holder: UUID, lease: float
    ) -> Run:
        del holder  # the token says who holds a run
        asked = object_text(request)

        def work(tx: Transaction) -> Run:
            _make_way(tx, kind, user_id)
            started = max([tx.moment, *(run.started_at + 1 for run in _runs(tx.state))])
            row = RunRow(
                timed_uuid(started), kind, user_id, RunState.RUNNING, asked, None, None, _token(tx), 1,
                False, started, started, None, later(started, lease),
            )  # fmt: skip
            return _put(tx, row)

        return await self._open().commit(work, 1)

    async def resume_run(self, run_id: UUID, *, holder: UUID, lease: float) -> Run:
        del holder

        def work(tx: Transaction) -> Run:
            run = _known(tx, run_id)
            if run.state in _ENDED:
                raise RunEndedError
            _make_way(tx, run.kind, run.user_id)
            resumed = replace(
                run,
                state=RunState.RUNNING,
                token=_token(tx),
                attempts=run.attempts + 1,
                cancel_requested=False,
                finished_at=None,
                updated_at=tx.moment,
                expires_at=later(tx.moment, lease),
            )
            return _put(tx, resumed)

        return await self._open().commit(work, 1)

    async def save_run(self, run_id: UUID, token: int, cursor: Mapping[str, Any], *, lease: float) -> bool:
        at = object_text(cursor)

        def work(tx: Transaction) -> bool:
            run = held(tx, run_id, token)
            saved = replace(run, cursor=at, updated_at=tx.moment, expires_at=later(tx.moment, lease))
            return _put(tx, saved).cancel_requested

        return await self._open().commit(work, 1)

    async def renew_run(self, run_id: UUID, token: int, *, lease: float) -> bool:
        def work(tx: Transaction) -> bool:
            run = held(tx, run_id, token)
            return _put(tx, replace(run, expires_at=later(tx.moment, lease))).cancel_requested

        return await self._open().commit(work, 1)

    async def finish_run(self, run_id: UUID, token: int, state: RunState, report: Mapping[str, Any]) -> Run:
        if state is RunState.RUNNING:
            raise InvalidInputError("state", state.value, "a run ends in another state")
        said = object_text(report)

        def work(tx: Transaction) -> Run:
            return _put(tx, replace(_ended(held(tx, run_id, token), state, tx.moment), report=said))

        return await self._open().commit(work, 1)

    async def cancel_run(self, run_id: UUID) -> Run:
        def work(tx: Transaction) -> Run:
            run = _known(tx, run_id)
            if run.state not in _UNFINISHED:
                return to_run(run)
            asked = replace(run, cancel_requested=True, updated_at=tx.moment)
            return _put(tx, asked if _alive(run, tx.moment) else _ended(asked, RunState.CANCELLED, tx.moment))

        return await self._open().commit(work, 1)

    async def run(self, run_id: UUID) -> Run | None:
        row = await self._open().view(lambda state: state.rows(Table.RUNS).get(run_id), 1)
        return None if row is None else to_run(row)

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        def work(state: State) -> list[Run]:
            asked = [run for run in _runs(state) if _asked(run, query) and (before is None or run.id < before)]
            return [to_run(run) for run in nlargest(limit, asked, key=lambda run: run.id)]

        return await self._open().view(work)

    async def last_checks(self) -> list[Run]:
        def work(state: State) -> list[Run]:
            done = [r for r in _runs(state) if r.state is RunState.DONE and r.kind in {RunKind.CHECK, RunKind.FULL}]
            of_depth = {run.depth: run for run in sorted(done, key=lambda run: run.id)}
            return [to_run(of_depth[depth.value]) for depth in Depth if depth.value in of_depth]

        return await self._open().view(work)

    async def run_totals(self) -> RunTotals:
        return await self._open().view(_totals)

    async def prune(self, *, age: float, limit: int = 1_000) -> int:
        removed = await self._prune_resolved(age, limit)
        rest = limit - removed
        return removed + await self._open().commit(lambda tx: _prune(tx, later(tx.moment, -age), rest), limit)

    async def remove_runs(self, run_ids: Sequence[UUID]) -> int:
        def work(tx: Transaction) -> int:
            known = [run for run_id in set(run_ids) if (run := tx.get(Table.RUNS, run_id)) is not None]
            gone = [run for run in known if not _alive(run, tx.moment)]
            for run in gone:
                tx.remove(Table.RUNS, run.id)
            return len(gone)

        return await self._open().commit(work, len(run_ids))

    async def hold(self, name: str, *, holder: UUID, lease: float) -> int | None:
        def work(tx: Transaction) -> int | None:
            former: Lease | None = tx.get(Table.LEASES, name)
            running = former is not None and former.expires_at > tx.moment
            if former is not None and running and former.holder != holder:
                return None
            token = former.token if former is not None and running else _token(tx)
            tx.put(Table.LEASES, name, Lease(name, holder, token, later(tx.moment, lease)))
            return token

        return await self._open().commit(work, 1)

    async def let_go(self, name: str, *, holder: UUID) -> None:
        def work(tx: Transaction) -> None:
            lease: Lease | None = tx.get(Table.LEASES, name)
            if lease is not None and lease.holder == holder:
                tx.put(Table.LEASES, name, replace(lease, expires_at=tx.moment))

        await self._open().commit(work, 1)


def _runs(state: State) -> list[RunRow]:
    return list(state.rows(Table.RUNS).values())


def _put(tx: Transaction, run: RunRow) -> Run:
    tx.put(Table.RUNS, run.id, run)
    return to_run(run)


def _token(tx: Transaction) -> int:
    tx.say(replace(tx.about, tokens=tx.about.tokens + 1))
    return tx.about.tokens


def _known(tx: Transaction, run_id: UUID) -> RunRow:
    run: RunRow | None = tx.get(Table.RUNS, run_id)
    if run is None:
        raise RunNotFoundError
    return run


def _alive(run: RunRow, moment: int) -> bool:
    return run.state is RunState.RUNNING and run.expires_at is not None and run.expires_at > moment


def _make_way(tx: Transaction, kind: RunKind, user_id: str | None) -> None:
    """Interrupt the dead runs in the way of one of this kind and tenant. Raises RunConflictError for a living one."""
    every = sorted(_runs(tx.state), key=lambda run: run.id)
    running = [run for run in every if run.kind is kind and run.state is RunState.RUNNING]
    others = [run for run in running if user_id is None or run.user_id in {None, user_id}]
    for other in others:
        if _alive(other, tx.moment):
            scope = "all tenants" if other.user_id is None else f"the tenant {shorten(other.user_id)}"
            raise RunConflictError(to_run(other), other.id, other.kind.value, scope)
    for other in others:
        tx.put(Table.RUNS, other.id, _ended(other, RunState.INTERRUPTED, tx.moment))


def _ended(run: RunRow, state: RunState, moment: int) -> RunRow:
    finished_at = None if state is RunState.INTERRUPTED else moment
    return replace(run, state=state, expires_at=None, updated_at=moment, finished_at=finished_at)


def _asked(run: RunRow, query: RunQuery) -> bool:
    return (
        query.kind in {None, run.kind}
        and (query.user_id is None or query.user_id == (run.user_id or ""))
        and query.state in {None, run.state}
        and query.finished in {None, run.state not in _UNFINISHED}
    )


def _totals(state: State) -> RunTotals:
    done = [to_run(run) for run in _runs(state) if run.state is RunState.DONE]
    real = [run for run in done if run.request.get("dry_run") is False]
    repairs = [_repaired(run.report or {}) for run in real if run.kind in {RunKind.REPAIR, RunKind.FULL}]
    rebuilds = [(run.report or {}).get("memories") for run in real if run.kind is RunKind.REBUILD]
    return RunTotals(len(repairs) or None, _sum(repairs), len(rebuilds) or None, _sum(rebuilds))


def _repaired(report: Mapping[str, Any]) -> int | None:
    """Return what was repaired: a full sync has the report of its repair inside its own."""
    found: int | None = report.get("repaired", (report.get("repair") or {}).get("repaired"))
    return found


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _prune(tx: Transaction, before: int, limit: int) -> int:
    """Remove old runs that have ended, but the newest of each kind, depth and tenant."""
    ended = sorted((r.finished_at, r.id, r) for r in _runs(tx.state) if r.finished_at is not None)
    newest = {(run.user_id, run.kind, run.depth): run.id for _, _, run in ended}
    kept = set(newest.values())
    gone = [run_id for finished_at, run_id, _ in ended if finished_at < before and run_id not in kept][:limit]
    for run_id in gone:
        tx.remove(Table.RUNS, run_id)
    return len(gone)
