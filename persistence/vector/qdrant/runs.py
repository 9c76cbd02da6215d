"""Runs: saved, renewed, ended, listed. The lease is in the run's document, which changes only where it is as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from persistence.errors import InvalidInputError, RunNotFoundError, VectorStoreConflictError
from persistence.ports.runs import Depth, Run, RunKind, RunQuery, RunState, RunTotals
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.beginning import RUN, Beginning
from persistence.vector.qdrant.engine import Found, Payload, Remove
from persistence.vector.qdrant.inconsistencies import run_point
from persistence.vector.qdrant.run_layout import BEGINNING, born, to_json, to_run
from persistence.vector.qdrant.session import PAGE, ROUNDS
from persistence.vector.qdrant.terms import AnyOf, Ids, Is, Not, Term, Within

_UNFINISHED = (RunState.RUNNING, RunState.INTERRUPTED)
_CHECKS = AnyOf("kind", [RunKind.CHECK.value, RunKind.FULL.value])
#: Runs that began in the same microsecond as the one that a page begins with.
_SPARE = 8

Changed = Callable[[Payload], Payload]


class Runs(Beginning):
    """What the port says of runs."""

    async def save_run(self, run_id: UUID, token: int, cursor: Mapping[str, Any], *, lease: float) -> bool:
        text = to_json(cursor)

        def saved(run: Payload) -> Payload:
            return {**run, "cursor": text, "updated": layout.now(), "expires": _until(lease)}

        return bool((await self._if_held(run_id, token, saved))["cancel"])

    async def renew_run(self, run_id: UUID, token: int, *, lease: float) -> bool:
        renewed = await self._if_held(run_id, token, lambda run: {**run, "expires": _until(lease)})
        return bool(renewed["cancel"])

    async def finish_run(self, run_id: UUID, token: int, state: RunState, report: Mapping[str, Any]) -> Run:
        if state is RunState.RUNNING:
            raise InvalidInputError("state", state.value, "a run ends in another state")
        text = to_json(report)

        def finished(run: Payload) -> Payload:
            wall = layout.now()
            ended = {} if state is RunState.INTERRUPTED else {"finished": wall}
            return {**run, "state": state.value, "report": text, "updated": wall, **ended}

        return to_run(await self._if_held(run_id, token, finished))

    async def _if_held(self, run_id: UUID, token: int, changed: Changed) -> Payload:
        return await self._engine.run(lambda: self._change_held(run_id, token, changed), write=True)

    async def _change_held(self, run_id: UUID, token: int, changed: Changed) -> Payload:
        """Change a run for whoever holds it. Raises LeaseLostError."""
        for _ in range(ROUNDS):
            former = await self._held(run_id, token)
            run = changed(former)
            if await self._swap(run_point(run_id), former, run):
                return run
        raise VectorStoreConflictError("Too many change the same run at once.")

    async def cancel_run(self, run_id: UUID) -> Run:
        return to_run(await self._engine.run(lambda: self._cancel(run_id), write=True))

    async def _cancel(self, run_id: UUID) -> Payload:
        for _ in range(ROUNDS):
            former = await self._document(run_point(run_id))
            if former is None or former["state"] == BEGINNING:
                raise RunNotFoundError
            if former["state"] not in {state.value for state in _UNFINISHED}:
                return former
            run = _cancelled(former)
            if await self._swap(run_point(run_id), former, run):
                return run
        raise VectorStoreConflictError("Too many change the same run at once.")

    async def run(self, run_id: UUID) -> Run | None:
        found = await self._engine.run(lambda: self._document(run_point(run_id)))
        return None if found is None or found["state"] == BEGINNING else to_run(found)

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        states = _states(query)
        if not states:
            return []
        where: list[Term] = [RUN, AnyOf("state", states)]
        if query.kind is not None:
            where.append(Is("kind", query.kind.value))
        if query.user_id is not None:
            where.append(Is("user_id", query.user_id))
        if before is not None:
            where.append(Within("born", lte=born(before)))
        found = await self._engine.run(lambda: self._newest(where, limit + _SPARE))
        listed = sorted((to_run(point.payload) for point in found), key=lambda run: run.id, reverse=True)
        return [run for run in listed if before is None or run.id < before][:limit]

    async def _newest(self, where: list[Term], limit: int) -> list[Found]:
        return await self._engine.ordered(self._runs, where, "born", limit=limit, descending=True)

    async def last_checks(self) -> list[Run]:
        return await self._engine.run(self._last_checks)

    async def _last_checks(self) -> list[Run]:
        done: list[Term] = [RUN, _CHECKS, Is("state", RunState.DONE.value)]
        newest = [await self._newest([*done, Is("depth", depth.value)], 1) for depth in Depth]
        return [to_run(point.payload) for found in newest for point in found]

    async def run_totals(self) -> RunTotals:
        return await self._engine.run(self._run_totals)

    async def _run_totals(self) -> RunTotals:
        where: list[Term] = [RUN, Is("state", RunState.DONE.value), Is("wet", 1), Not(Is("kind", RunKind.CHECK.value))]
        repaired: list[int | None] = []
        rebuilt: list[int | None] = []
        start: str | None = None
        while True:
            page, start = await self._engine.scroll(self._runs, where, limit=PAGE, start=start)
            for run in (to_run(point.payload) for point in page):
                (rebuilt if run.kind is RunKind.REBUILD else repaired).append(_done(run))
            if start is None:
                return RunTotals(len(repaired) or None, _sum(repaired), len(rebuilt) or None, _sum(rebuilt))

    async def remove_runs(self, run_ids: Sequence[UUID]) -> int:
        points = [run_point(run_id) for run_id in run_ids]
        return await self._engine.run(lambda: self._remove_runs(points), write=True)

    async def _remove_runs(self, points: Sequence[str]) -> int:
        found, wall = await self._engine.get(self._runs, points), layout.now()
        running = RunState.RUNNING.value
        idle = [p for p in found.values() if p.payload["state"] != running or p.payload["expires"] < wall]
        for point in idle:  # each as it was read: one that somebody takes up at this moment stays
            await self._engine.change(self._runs, Remove([Ids([point.id]), Is("stamp", point.payload["stamp"])]))
        return len(found) - len(await self._engine.get(self._runs, points, ("stamp",)))

    async def prune(self, *, age: float, limit: int = 1_000) -> int:
        return await self._engine.run(lambda: self._prune(layout.now() - int(age * 1_000_000), limit), write=True)

    async def _prune(self, before: int, limit: int) -> int:
        removed = await self._prune_resolved(before, limit)
        start = 0
        while removed < limit:
            old: list[Term] = [RUN, Within("finished", gte=start, lt=before)]
            page = await self._engine.ordered(self._runs, old, "finished", limit=PAGE)
            for point in page:
                if removed < limit and not await self._is_newest(point):
                    await self._engine.change(
                        self._runs, Remove([Ids([point.id]), Is("stamp", point.payload["stamp"])])
                    )
                    removed += 1
            if len(page) < PAGE:
                break
            start = page[-1].payload["finished"] + 1
        return removed

    async def _is_newest(self, found: Found) -> bool:
        """Say whether no run of the same kind, depth and tenant has ended after this one."""
        alike = [RUN, *(Is(name, found.payload[name]) for name in ("user_id", "kind", "depth"))]
        newest = await self._engine.ordered(self._runs, alike, "finished", limit=1, descending=True)
        return not newest or newest[0].payload["finished"] <= found.payload["finished"]


def _until(lease: float) -> int:
    return layout.now() + int(lease * 1_000_000)


def _cancelled(run: Payload) -> Payload:
    """Return the run asked to stop; ended at once, where nobody runs it."""
    wall = layout.now()
    asked = {**run, "cancel": True, "updated": wall}
    if run["state"] == RunState.RUNNING.value and run["expires"] > wall:
        return asked
    return {**asked, "state": RunState.CANCELLED.value, "finished": wall}


def _done(run: Run) -> int | None:
    report = run.report or {}
    if run.kind is RunKind.REBUILD:
        found = report.get("memories")
    else:
        found = report.get("repaired", (report.get("repair") or {}).get("repaired"))
    return None if found is None else int(found)


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _states(query: RunQuery) -> list[str]:
    """Return the states that a query asks for, none where its two conditions contradict each other."""
    states = [state for state in RunState if query.state in {None, state}]
    return [state.value for state in states if query.finished in {None, state not in _UNFINISHED}]
