"""How runs begin: behind a gate, one kind at a time.

A gate is a lease, and whoever is inside may be stopped for longer than it lasts. So a run that begins or is resumed is
first written down as *pending*; then its process leaves the gate, which fails where another one has entered meanwhile;
only then the run is running. Whoever finds a run pending waits until it is decided; where that takes too long, it sees
to it that the run is not decided any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn
from uuid import UUID

from persistence.errors import (
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    VectorStoreConflictError,
    shorten,
)
from persistence.ports.runs import Run, RunKind, RunState
from persistence.retry import backoff
from persistence.vector.qdrant import layout
from persistence.vector.qdrant.engine import Payload, Put, Remove
from persistence.vector.qdrant.inconsistencies import Inconsistencies, run_point
from persistence.vector.qdrant.leases import GATE
from persistence.vector.qdrant.run_layout import BEGINNING, new_run, to_run
from persistence.vector.qdrant.session import PAGE
from persistence.vector.qdrant.terms import AnyOf, Either, Ids, Is, Term, Within

RUN = Is("type", "run")
_RUNNING = RunState.RUNNING.value
#: Attempts to get through a gate: with the pauses between them, much longer than a gate is kept.
_ATTEMPTS = 400
#: Seconds between the first two attempts, and the most between two: many who wait must not keep the one inside waiting.
_PAUSE, _LONGEST_PAUSE = 0.005, 0.2

Find = Callable[[], Awaitable[Payload]]


class Beginning(Inconsistencies):
    """What the port says of runs that begin and that are resumed."""

    async def begin_run(
        self, kind: RunKind, user_id: str | None, request: Mapping[str, Any], *, holder: UUID, lease: float
    ) -> Run:
        async def fresh() -> Payload:
            return new_run(kind, user_id, request)

        return await self._engine.run(lambda: self._take(fresh, str(holder), lease), write=True)

    async def resume_run(self, run_id: UUID, *, holder: UUID, lease: float) -> Run:
        async def left() -> Payload:
            return await self._left(run_id)

        return await self._engine.run(lambda: self._take(left, str(holder), lease), write=True)

    async def _left(self, run_id: UUID) -> Payload:
        run = await self._document(run_point(run_id))
        if run is None or run["state"] == BEGINNING:
            raise RunNotFoundError
        if run["state"] in (RunState.DONE.value, RunState.FAILED.value):
            raise RunEndedError
        return run

    async def _take(self, find: Find, holder: str, lease: float) -> Run:
        """Bring a run under way, unless another one stands in its way."""
        wanted = await find()
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._engine.pause(backoff(attempt, _PAUSE, _LONGEST_PAUSE))
            inside = await self._enter(wanted["kind"])
            if inside is None:
                continue
            try:
                pending = await self._made_pending(find)
            except BaseException:
                await self._leave(wanted["kind"], inside)
                raise
            alone = await self._leave(wanted["kind"], inside)
            run = await self._decide(pending, holder, lease, alone=alone) if pending else None
            if run is not None:
                return run
        raise VectorStoreConflictError("Too many runs of this kind begin at once.")

    async def _made_pending(self, find: Find) -> Payload | None:
        """Make way for a run and write it down; None where that is not decided yet."""
        run = await find()
        others = await self._others(run["kind"], run["user_id"])
        wall = layout.now()
        for other in others:
            if other["state"] == _RUNNING and other["expires"] > wall:
                _refuse(to_run(other))
        if any(other.get("pending", 0) > wall for other in others) or not await self._interrupted(others):
            return None
        run = await find()
        former = run if "stamp" in run else None
        pending = {**run, "pending": layout.now() + GATE}
        point = run_point(UUID(run["id"]))
        return await self._document(point) if await self._swap(point, former, pending) else None

    async def _others(self, kind: str, user_id: str) -> list[Payload]:
        """Return what may stand in the way of a run; what died before it began is removed."""
        undecided = Within("pending", gte=layout.now())
        where: list[Term] = [RUN, Is("kind", kind), Either([Is("state", _RUNNING), undecided])]
        if user_id:
            where.append(AnyOf("user_id", ["", user_id]))
        await self._refuse_late(kind)
        found = await self._engine.ordered(self._runs, where, "born", limit=PAGE)
        return [point.payload for point in found]

    async def _refuse_late(self, kind: str) -> None:
        """See that no run becomes running that was pending for too long: one may begin now that knows nothing of it."""
        late: list[Term] = [RUN, Is("kind", kind), Within("pending", lt=layout.now())]
        await self._engine.change(self._runs, Remove([*late, Is("state", BEGINNING)]))
        await self._engine.change(self._runs, Put(late, {"pending": None, "stamp": str(uuid.uuid4())}))

    async def _interrupted(self, others: Sequence[Payload]) -> bool:
        """Interrupt dead runs; False where one of them was alive after all."""
        for other in others:
            over = {**other, "state": RunState.INTERRUPTED.value, "updated": layout.now()}
            if not await self._swap(run_point(UUID(other["id"])), other, over):
                return False
        return True

    async def _decide(self, pending: Payload, holder: str, lease: float, *, alone: bool) -> Run | None:
        """Let a pending run be under way, if nobody else was behind the gate; else take it back."""
        point = run_point(UUID(pending["id"]))
        still: list[Term] = [Ids([point]), Is("stamp", pending["stamp"])]
        if not alone:
            undone = Remove(still) if pending["state"] == BEGINNING else Put(still, {"pending": None})
            await self._engine.change(self._runs, undone)
            return None
        wall, token = layout.now(), await self._draw("token")
        begun = {
            "pending": None,
            "finished": None,
            "state": _RUNNING,
            "token": token,
            "attempts": pending["attempts"] + 1,
            "cancel": False,
            "holder": holder,
            "updated": pending["started"] if pending["state"] == BEGINNING else wall,
            "expires": wall + int(lease * 1_000_000),
            "stamp": str(uuid.uuid4()),
        }
        # Not a swap, which would make a run anew that was removed for being late.
        await self._engine.change(self._runs, Put(still, begun))
        run = await self._document(point)
        return to_run(run) if run is not None and run.get("token") == token else None


def _refuse(other: Run) -> NoReturn:
    scope = "all tenants" if other.user_id is None else f"the tenant {shorten(other.user_id)}"
    raise RunConflictError(other, other.id, other.kind.value, scope)
