"""Runs and their leases. The lease is in the run's row: every change asks for its token in the same statement."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NoReturn
from uuid import UUID

from persistence.errors import (
    InvalidInputError,
    LeaseLostError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    shorten,
)
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState, RunTotals
from persistence.vector.payloads import object_text
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.inconsistencies import Inconsistencies
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Row, Session

_SQL = Queries("runs")
_NEXT_TOKEN = _SQL.get("next_token")
_IN_THE_WAY, _MAKE_WAY = _SQL.get("in_the_way"), _SQL.get("make_way")
_BEGIN, _RESUME = _SQL.get("begin"), _SQL.get("resume")
_SAVE, _RENEW, _FINISH = _SQL.get("save"), _SQL.get("renew"), _SQL.get("finish")
_ASK_TO_STOP, _CANCEL = _SQL.get("ask_to_stop"), _SQL.get("cancel")
_ONE = _SQL.get("one")
_LIST = {False: _SQL.get("list"), True: _SQL.get("list_tenant")}
_LAST_DONE = _SQL.get("last_done")
_TOTALS = _SQL.get("totals")
_PRUNE = _SQL.get("prune")
_REMOVE = _SQL.get("remove")
_LEASE, _HOLD, _LET_GO = _SQL.get("lease"), _SQL.get("hold"), _SQL.get("let_go")

_UNFINISHED = (RunState.RUNNING, RunState.INTERRUPTED)
_LAST = UUID(int=2**128 - 1)


class Runs(Inconsistencies):
    """What the port says of runs, their leases, and what they found."""

    async def begin_run(
        self, kind: RunKind, user_id: str | None, request: Mapping[str, Any], *, holder: UUID, lease: float
    ) -> Run:
        given = {"kind": kind.value, "user_id": user_id or "", "depth": str(request.get("depth") or "")}
        given |= {"request": object_text(request), "holder": str(holder)}

        def work(session: Session) -> Run:
            taken = {**given, **self._take(session, given, lease)}
            return to_run(session.one(_BEGIN, {**taken, "id": str(timed_uuid(taken["now"]))}))

        return await self._sessions.write(work)

    async def resume_run(self, run_id: UUID, *, holder: UUID, lease: float) -> Run:
        def work(session: Session) -> Run:
            run = _known(session, run_id)
            if run.state in {RunState.DONE, RunState.FAILED}:
                raise RunEndedError
            taken = self._take(session, {"kind": run.kind.value, "user_id": run.user_id or ""}, lease)
            return to_run(session.one(_RESUME, {**taken, "id": str(run_id), "holder": str(holder)}))

        return await self._sessions.write(work)

    def _take(self, session: Session, wanted: Mapping[str, str], lease: float) -> dict[str, Any]:
        """Return token and times of a run that nothing stands in the way of any more. Raises RunConflictError."""
        times = self._times(lease)
        if (other := session.row(_IN_THE_WAY, {**wanted, **times})) is not None:
            _refuse(to_run(other))
        session.execute(_MAKE_WAY, {**wanted, **times})
        return {"token": session.number(_NEXT_TOKEN), **times}

    def _times(self, lease: float) -> dict[str, Any]:
        now = self._sessions.now()
        return {"now": now, "expires_at": r.after(now, lease)}

    async def save_run(self, run_id: UUID, token: int, cursor: Mapping[str, Any], *, lease: float) -> bool:
        return bool((await self._hold_on(_SAVE, run_id, token, lease, cursor=object_text(cursor)))[0])

    async def renew_run(self, run_id: UUID, token: int, *, lease: float) -> bool:
        return bool((await self._hold_on(_RENEW, run_id, token, lease))[0])

    async def finish_run(self, run_id: UUID, token: int, state: RunState, report: Mapping[str, Any]) -> Run:
        if state is RunState.RUNNING:
            raise InvalidInputError("state", state.value, "a run ends in another state")
        ended = {"state": state.value, "report": object_text(report)}
        return to_run(await self._hold_on(_FINISH, run_id, token, 0, **ended))

    async def _hold_on(self, query: str, run_id: UUID, token: int, lease: float, **given: Any) -> Row:
        """Change a run that is held, and return what the statement returns. Raises LeaseLostError."""

        def work(session: Session) -> Row:
            times = self._times(lease)
            if (row := session.row(query, {"id": str(run_id), "token": token, **times, **given})) is None:
                raise LeaseLostError
            return row

        return await self._sessions.write(work)

    async def cancel_run(self, run_id: UUID) -> Run:
        def work(session: Session) -> Run:
            given = {"id": str(run_id), "now": self._sessions.now()}
            if not session.changed(_ASK_TO_STOP, given):
                session.execute(_CANCEL, given)
            return _known(session, run_id)

        return await self._sessions.write(work)

    async def run(self, run_id: UUID) -> Run | None:
        row = await self._sessions.read(lambda session: session.row(_ONE, {"id": str(run_id)}))
        return None if row is None else to_run(row)

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        wanted = _LIST[query.user_id is not None]
        given = {"user_id": query.user_id, "before": str(before or _LAST), "limit": limit}
        kinds = [kind for kind in RunKind if query.kind in {None, kind}]

        def work(session: Session) -> list[Row]:
            # Each kind and state has its place in the index, so none is read in vain.
            places = product(kinds, _states(query))
            pages = [session.rows(wanted, {**given, "kind": k.value, "state": s.value}) for k, s in places]
            return sorted((row for page in pages for row in page), key=lambda row: str(row[0]), reverse=True)[:limit]

        return [to_run(row) for row in await self._sessions.read(work)]

    async def last_checks(self) -> list[Run]:
        return await self._sessions.read(
            lambda session: [run for depth in Depth if (run := _last_check(session, depth)) is not None]
        )

    async def run_totals(self) -> RunTotals:
        repairs, repaired, rebuilds, rebuilt = await self._sessions.read(lambda session: session.one(_TOTALS))
        return RunTotals(repairs or None, repaired, rebuilds or None, rebuilt)

    async def prune(self, *, age: float, limit: int = 1_000) -> int:
        removed = await self._prune_resolved(age, limit)
        parameters = {"before": r.after(self._sessions.now(), -age), "limit": limit - removed}
        return removed + await self._sessions.write(lambda session: session.changed(_PRUNE, parameters))

    async def remove_runs(self, run_ids: Sequence[UUID]) -> int:
        rows = [(str(run_id), self._sessions.now()) for run_id in run_ids]
        return await self._sessions.write(lambda session: session.many(_REMOVE, rows))

    async def hold(self, name: str, *, holder: UUID, lease: float) -> int | None:
        return await self._sessions.write(partial(self._hold, name=name, holder=str(holder), lease=lease))

    def _hold(self, session: Session, *, name: str, holder: str, lease: float) -> int | None:
        times = self._times(lease)
        former, token, expires_at = session.row(_LEASE, {"name": name}) or ("", 0, 0)
        running = expires_at > times["now"]
        if running and former != holder:
            return None
        token = token if running else session.number(_NEXT_TOKEN)
        session.execute(_HOLD, {"name": name, "holder": holder, "token": token, **times})
        return int(token)

    async def let_go(self, name: str, *, holder: UUID) -> None:
        given = {"name": name, "holder": str(holder), "now": self._sessions.now()}
        await self._sessions.write(lambda session: session.changed(_LET_GO, given))


def timed_uuid(now: int) -> UUID:
    """Return a UUID in the order of time (version 7; the fraction of the millisecond behind the version)."""
    milliseconds, rest = divmod(now, 1_000)
    high = milliseconds << 16 | 7 << 12 | rest * 4_096 // 1_000
    return UUID(int=high << 64 | 2 << 62 | secrets.randbits(62))


def _known(session: Session, run_id: UUID) -> Run:
    if (row := session.row(_ONE, {"id": str(run_id)})) is None:
        raise RunNotFoundError
    return to_run(row)


def _last_check(session: Session, depth: Depth) -> Run | None:
    """Return the newest check or full sync of a depth that was brought to its end."""
    kinds = (RunKind.CHECK, RunKind.FULL)
    rows = [session.row(_LAST_DONE, {"kind": kind.value, "depth": depth.value}) for kind in kinds]
    return max((to_run(row) for row in rows if row is not None), key=lambda run: run.id, default=None)


def _states(query: RunQuery) -> list[RunState]:
    """Return the states that a query asks for, none where its two conditions contradict each other."""
    states = [state for state in RunState if query.state in {None, state}]
    return [state for state in states if query.finished in {None, state not in _UNFINISHED}]


def _refuse(other: Run) -> NoReturn:
    scope = "all tenants" if other.user_id is None else f"the tenant {shorten(other.user_id)}"
    raise RunConflictError(other, other.id, other.kind.value, scope)


def to_run(row: Row) -> Run:
    """Make a run of the columns of queries.RUN."""
    run_id, kind, user_id, state, request, cursor, report, token, attempts, cancel, *times = row
    started_at, updated_at, finished_at, expires_at = times
    documents = json.loads(request), _json(cursor), _json(report)
    began = r.moment(started_at), r.moment(updated_at)
    ended = r.moment_or_none(finished_at), r.moment_or_none(expires_at)
    return Run(
        UUID(run_id),
        RunKind(kind),
        user_id or None,
        RunState(state),
        *documents,
        token,
        attempts,
        bool(cancel),
        *began,
        *ended,
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
