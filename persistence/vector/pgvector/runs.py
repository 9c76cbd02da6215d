"""Runs and their leases. The lease is in the run's row: every change asks for its token in the same statement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from uuid import UUID

from psycopg import sql

from persistence.errors import (
    InvalidInputError,
    LeaseLostError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    shorten,
)
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState, RunTotals
from persistence.text import INT64
from persistence.vector.payloads import object_text
from persistence.vector.pgvector.inconsistencies import OF_TENANT, Inconsistencies
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.rows import Row

_SQL = Queries("runs")
#: The columns of a run in the order of _run; JSON as text, which is decoded here.
_RUN = sql.SQL(
    "r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts,"
    " r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at"
)
_BEGIN = _SQL.get("begin", run=_RUN)
_RESUME = _SQL.get("resume", run=_RUN)
_SAVE = _SQL.get("save")
_RENEW = _SQL.get("renew")
_FINISH = _SQL.get("finish", run=_RUN)
_CANCEL = _SQL.get("cancel", run=_RUN)
_ONE = _SQL.get("one", run=_RUN)
_NEWEST_FIRST = {
    False: sql.SQL("l.kind DESC, l.state DESC, l.id DESC"),
    True: sql.SQL("l.user_id DESC, l.kind DESC, l.state DESC, l.id DESC"),
}
_LIST = {one: _SQL.get("list", run=_RUN, newest_first=_NEWEST_FIRST[one], **OF_TENANT[one]) for one in (False, True)}
_LAST_CHECKS = _SQL.get("last_checks", run=_RUN)
_TOTALS = _SQL.get("totals")
_PRUNE = _SQL.get("prune")
_REMOVE = _SQL.get("remove")
_HOLD = _SQL.get("hold")
_LET_GO = _SQL.get("let_go")

_UNFINISHED = (RunState.RUNNING, RunState.INTERRUPTED)
_LAST = UUID(int=2**128 - 1)


class Runs(Inconsistencies):
    """What the port says of runs, their leases, and what they found."""

    async def begin_run(
        self, kind: RunKind, user_id: str | None, request: Mapping[str, Any], *, holder: UUID, lease: float
    ) -> Run:
        parameters = {"kind": kind.value, "user_id": user_id or "", "request": object_text(request)}
        return _taken(*await self._ask(_BEGIN, write=True, holder=holder, lease=float(lease), **parameters))

    async def resume_run(self, run_id: UUID, *, holder: UUID, lease: float) -> Run:
        return _taken(*await self._ask(_RESUME, write=True, run_id=run_id, holder=holder, lease=float(lease)))

    async def save_run(self, run_id: UUID, token: int, cursor: Mapping[str, Any], *, lease: float) -> bool:
        return await self._hold_on(_SAVE, run_id=run_id, token=token, cursor=object_text(cursor), lease=float(lease))

    async def renew_run(self, run_id: UUID, token: int, *, lease: float) -> bool:
        return await self._hold_on(_RENEW, run_id=run_id, token=token, lease=float(lease))

    async def _hold_on(self, query: bytes, **parameters: Any) -> bool:
        found = await self._ask(query, write=True, **parameters)
        if not found:
            raise LeaseLostError
        return bool(found[0][0])

    async def finish_run(self, run_id: UUID, token: int, state: RunState, report: Mapping[str, Any]) -> Run:
        if state is RunState.RUNNING:
            raise InvalidInputError("state", state.value, "a run ends in another state")
        parameters = {"run_id": run_id, "token": token, "state": state.value, "report": object_text(report)}
        found = await self._ask(_FINISH, write=True, **parameters)
        if not found:
            raise LeaseLostError
        return _run(found[0])

    async def cancel_run(self, run_id: UUID) -> Run:
        found = await self._ask(_CANCEL, write=True, run_id=run_id)
        if not found:
            raise RunNotFoundError
        return _run(found[0])

    async def run(self, run_id: UUID) -> Run | None:
        found = await self._ask(_ONE, run_id=run_id)
        return _run(found[0]) if found else None

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        found = await self._ask(
            _LIST[query.user_id is not None],
            user_id=query.user_id,
            kinds=[kind.value for kind in RunKind if query.kind in {None, kind}],
            states=_states(query),
            before=before or _LAST,
            limit=limit,
        )
        return [_run(row) for row in found]

    async def last_checks(self) -> list[Run]:
        return [_run(row) for row in await self._ask(_LAST_CHECKS, depths=[depth.value for depth in Depth])]

    async def run_totals(self) -> RunTotals:
        ((repairs, repaired, rebuilds, rebuilt),) = await self._ask(_TOTALS)
        return RunTotals(repairs or None, repaired, rebuilds or None, rebuilt)

    async def prune(self, *, age: float, limit: int = 1_000) -> int:
        removed = await self._prune_resolved(age, limit)
        ((runs,),) = await self._ask(_PRUNE, write=True, age=float(age), limit=limit - removed)
        return removed + int(runs)

    async def remove_runs(self, run_ids: Sequence[UUID]) -> int:
        ((removed,),) = await self._ask(_REMOVE, write=True, run_ids=list(run_ids))
        return int(removed)

    async def hold(self, name: str, *, holder: UUID, lease: float) -> int | None:
        found = await self._ask(_HOLD, write=True, name=name, holder=holder, lease=float(lease))
        return int(found[0][0]) if found else None

    async def let_go(self, name: str, *, holder: UUID) -> None:
        async with self._sessions.use(write=True) as connection:
            await connection.execute(_LET_GO, {"name": name, "holder": holder})


def _states(query: RunQuery) -> list[str]:
    """Return the states that a query asks for, none where its two conditions contradict each other."""
    states = [state for state in RunState if query.state in {None, state}]
    return [state.value for state in states if query.finished in {None, state not in _UNFINISHED}]


def _taken(row: Row) -> Run:
    """Return the run that was begun or taken up. Raises RunConflictError, RunNotFoundError, RunEndedError."""
    verdict, *columns = row
    if verdict == "missing":
        raise RunNotFoundError
    if verdict == "ended":
        raise RunEndedError
    run = _run(columns)
    if verdict == "conflict":
        _refuse(run)
    return run


def _refuse(other: Run) -> NoReturn:
    scope = "all tenants" if other.user_id is None else f"the tenant {shorten(other.user_id)}"
    raise RunConflictError(other, other.id, other.kind.value, scope)


def _run(row: Row | list[Any]) -> Run:
    run_id, kind, user_id, state, request, cursor, report, *rest = row
    return Run(
        run_id, RunKind(kind), user_id or None, RunState(state), _json(request), _json(cursor), _json(report), *rest
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    """Integers outside 64 bit were floats: jsonb writes 1e20 as its digits."""
    value = int(digits)
    return value if value in INT64 else float(value)
