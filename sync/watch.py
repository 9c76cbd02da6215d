"""What there is to tell: by the newest finished checks and what is open in the record, against what was told already.

What was told is kept in the truth store, as leases of names; so it is told once, whichever process runs the schedule,
however often it restarts, and whoever made the check or mended the drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from persistence.errors import PersistenceError
from persistence.gates import TruthGate
from persistence.log import get_logger
from persistence.ports.runs import Depth, InconsistencyQuery, Kind, Run, RunKind, RunQuery, RunState
from persistence.retry import Deadline
from sync.alerts import Alert, Event, Hook, tell
from sync.due import ALL_TENANTS
from sync.journal import JOURNAL_TIME
from sync.leases import Flag, Names, Reminder

log = get_logger("alerts")

T = TypeVar("T")

Say = Callable[[Event], Awaitable[bool]]
Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The newest finished checks, the newest first, and the inconsistencies that are open."""

    checks: Sequence[Run]
    open: dict[Kind, int]

    @property
    def newest(self) -> Run:
        return self.checks[0]

    @property
    def drift(self) -> bool | None:
        """Whether there is drift; None where the newest check cannot say."""
        found = _report(self.newest, "found", 0)
        if self.open or found:
            return True
        return False if _complete(self.newest) else None

    def trouble(self, enough: int) -> bool | None:
        """Say whether so many checks in a row were incomplete; None where only some were."""
        if _complete(self.newest):
            return False
        return True if len(self.checks) == enough and not any(map(_complete, self.checks)) else None

    def counts(self) -> dict[Kind, int]:
        """Count what is open; a check that found a graph emptied has counted more than it has recorded."""
        counted = {Kind(kind): int(number) for kind, number in _report(self.newest, "counts", {}).items()}
        kinds = (self.open.keys() | counted.keys()) - {Kind.UNKNOWN}
        return {kind: max(self.open.get(kind, 0), counted.get(kind, 0)) for kind in kinds}


class _Signal:
    """A state that is told when it begins, once in a while as long as it lasts, and when it ends."""

    def __init__(self, names: Names, name: str, remind: float, events: tuple[Event, Event, Event]) -> None:
        self._flag = Flag(names, f"alert-{name}")
        self._reminder = Reminder(names, f"alert-{name}-again", remind)
        self._begins, self._lasts, self._ends = events

    async def now(self, state: bool | None, say: Say) -> None:  # noqa: FBT001  # the state is the subject
        """Say what follows from the state."""
        if state is None:
            return
        told = await self._flag.is_up()
        if state and not told:
            await self._begun(say)
        elif state:
            await self._remind(say)
        elif told:
            await _or_undo(self._flag.take_down, lambda: say(self._ends), self._flag.put_up)

    async def _begun(self, say: Say) -> None:
        await _or_undo(self._flag.put_up, lambda: say(self._begins), self._flag.take_down)
        await self._reminder.take()

    async def _remind(self, say: Say) -> None:
        if ticket := await self._reminder.take():
            await _or_undo(_nothing, lambda: say(self._lasts), lambda: self._reminder.give_back(ticket))


class Watch:
    """Tells the hooks what each finished check of all tenants changes."""

    def __init__(self, truth: TruthGate, hooks: Sequence[Hook], *, remind: float, enough: int) -> None:
        names = Names(truth)
        self._truth = truth
        self._hooks = hooks
        self._enough = enough
        self._drift = _Signal(names, "drift", remind, (Event.DRIFT_APPEARED, Event.DRIFT_STAYS, Event.DRIFT_GONE))
        self._trouble = _Signal(
            names, "trouble", remind, (Event.CHECKS_INCOMPLETE, Event.CHECKS_INCOMPLETE, Event.CHECKS_COMPLETE)
        )
        self._judged: tuple[UUID, RunState] | None = None

    async def look(self) -> None:
        """Look whether there is a check that was not judged yet, whoever made it, and tell what follows from it."""
        checks = await self._finished() if self._hooks else []
        if not checks or (checks[0].id, checks[0].state) == self._judged:
            return
        seen = _Seen(checks, await self._read(lambda: self._truth.store.count_open(None)))
        await self._drift.now(seen.drift, lambda event: self._say(event, seen))
        await self._trouble.now(seen.trouble(self._enough), lambda event: self._say(event, seen))
        self._judged = (seen.newest.id, seen.newest.state)

    async def _say(self, event: Event, seen: _Seen) -> bool:
        newest, counts = seen.newest, seen.counts()
        alert = Alert(
            event=event,
            text=_text(event, sum(counts.values()), self._enough),
            depth=Depth(newest.request["depth"]),
            user_id=newest.user_id,
            complete=_complete(newest),
            counts=counts,
            run_id=newest.id,
            first_seen=await self._first_seen(),
            at=newest.finished_at or newest.updated_at,
        )
        return await tell(self._hooks, alert)

    async def _finished(self) -> list[Run]:
        query = RunQuery(RunKind.CHECK, ALL_TENANTS, finished=True)
        return await self._read(lambda: self._truth.store.runs(query, limit=self._enough))

    async def _first_seen(self) -> datetime | None:
        query = InconsistencyQuery(open=True)
        oldest = await self._read(lambda: self._truth.store.inconsistencies(query, limit=1))
        return oldest[0].first_seen if oldest else None

    async def _read(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._truth.read(call, Deadline(JOURNAL_TIME))


async def _or_undo(note: Step, say: Callable[[], Awaitable[bool]], undo: Step) -> None:
    """Note that something is told, and tell it; where nobody took it, it is as if it had not been noted.

    In this order, so that a process that dies in between tells nothing twice.
    """
    await note()
    taken = False
    try:
        taken = await say()
    finally:
        if not taken:
            await asyncio.shield(_undone(undo))


async def _undone(undo: Step) -> None:
    """Take a note back, as far as the store can be reached; what is cancelled stays cancelled."""
    try:
        await undo()
    except PersistenceError as error:
        log.warning("What nobody was told is noted as told.", action="alert", reason=error.message)


async def _nothing() -> None:
    """There is nothing to note."""


def _report(run: Run, field: str, default: Any) -> Any:
    return (run.report or {}).get(field, default)


def _complete(run: Run) -> bool:
    return bool(_report(run, "complete", default=False))


def _text(event: Event, found: int, enough: int) -> str:
    """Return the sentence that a person reads."""
    of = f"{found:,} inconsistenc{'y' if found == 1 else 'ies'}"
    return {
        Event.DRIFT_APPEARED: f"The graph is not in step with truth: {of}.",
        Event.DRIFT_STAYS: f"The graph is still not in step with truth: {of}.",
        Event.DRIFT_GONE: "The graph is in step with truth again.",
        Event.CHECKS_INCOMPLETE: f"None of the last {enough} checks of the graph was complete.",
        Event.CHECKS_COMPLETE: "The checks of the graph are complete again.",
    }[event]
