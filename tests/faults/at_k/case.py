"""One case: an operation with its k-th call gone wrong, the state it leaves, and what is wrong with that state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from persistence import AsyncPersistenceService, Key, PersistenceConfig
from persistence.drafting import derived_id
from persistence.errors import (
    BulkInterruptedError,
    OutcomeUnknownError,
    PersistenceError,
    RunCancelledError,
)
from persistence.gates import GraphRole
from persistence.ports.runs import RunKind, RunState
from sync import AsyncSyncService, Depth
from tests.faults.at_k.calls import Calls, Way
from tests.faults.at_k.operations import Operation
from tests.faults.at_k.places import Place
from tests.faults.stores import DIMENSION, draft

#: Seconds for which an entry that nobody works on may wait: a relay's back-off.
SOON = 0.5
#: Seconds after which an operation that goes on in spite of its deadline is said to hang.
LONGEST = 900.0
#: Seconds in which a task that was cancelled has to have seen that.
GRACE = 1.0
#: The memories that there may be.
NAMES = ("m0001", "m0002", "m0003", "m0004", "m0007", "m0008", "m0009", "ghost")
#: What says nothing about whether it was done.
UNKNOWN = (OutcomeUnknownError, BulkInterruptedError, RunCancelledError)
#: Calls that give a lease back: where one of them fails, the lease runs out by itself.
RELEASES = frozenset({"truth.release", "truth.postpone", "truth.settle"})

SETTINGS: Mapping[str, Any] = {
    "embedding_dimension": DIMENSION,
    "enable_relay": False,
    "settle_delay": 10.0,
    "relay_attempts": 1,
    "relay_backoff": 0.01,
    "relay_backoff_max": 0.01,
    "breaker_probe": 0.01,
    "retry_delay": 0.01,
    "run_lease": 2.0,
    "batch_size": 2,
    "sync_batch": 2,
    "pool_size": 4,
}

State = dict[str, Any]


@dataclass
class Case:
    """What is done, and what came of it. ``wrong``: what is wrong with it, a sentence each.

    ``waits``: an entry is left that the relay takes when its lease has run out. Where one memory was written that is
    wrong; whoever leaves a batch, or a claim of the relay, leaves it to its lease.
    """

    operation: Operation
    place: Place
    number: int
    at: int = 0
    way: Way | None = None
    attempts: int = 1
    wrong: list[str] = field(default_factory=list)
    error: BaseException | None = None
    waits: bool = False
    planted: bool = False
    noted: Any = None

    def __post_init__(self) -> None:
        self.calls = Calls(self.at, self.way, self.place.hang)
        self.user, self.other = f"user {self.number}", f"other {self.number}"
        self.old: State = {}
        self.new: State = {}

    def __str__(self) -> str:
        return f"{self.operation.name}: call {self.at} ({self.calls.hit}) {self.way}, then {self.error!r}"

    # --- what an operation is given ---------------------------------------------------------------------------------

    @property
    def sync(self) -> AsyncSyncService:
        """What checks the pair."""
        return AsyncSyncService(self.memories)

    async def reopen(self, *, adopt: bool = False) -> None:
        """Open the service once more."""
        await self.memories.close()
        await self.memories.open(adopt_graph=adopt)

    def _service(self, **settings: Any) -> AsyncPersistenceService:
        vector = self.calls.hooked("truth", self.place.vector())
        graph = self.calls.hooked("graph", self.place.graph())
        config = PersistenceConfig(**{**SETTINGS, "retry_attempts": self.attempts, **settings})
        return AsyncPersistenceService.connect(vector, graph, config=config)  # type: ignore[arg-type]

    # --- the case -----------------------------------------------------------------------------------------------------

    async def run(self, expected: State | None = None) -> Case:
        """Do it all. ``expected``: the state in which the operation ends where nothing fails."""
        self.memories = self._service(retry_attempts=5)
        async with self.memories:
            await self._fill()
            self.old = await self._state()
            if self.operation.prepare is not None:
                await self.operation.prepare(self)
                await self.memories.parts.settler.flush()
                self.old = await self._state()
        await self._operate()
        self.memories = self._service(retry_attempts=5, write_timeout=30.0)
        async with self.memories:
            await self._judge(self.old if expected is None else expected, free=expected is None)
        return self

    async def _fill(self) -> None:
        drafts = [draft(number, user_id=user) for user in (self.user, self.other) for number in (1, 2, 3, 4)]
        await self.memories.store_many(drafts)
        await self.memories.parts.settler.flush()

    async def _operate(self) -> None:
        """Do the operation with its call going wrong; whatever it leaves has to be gone when the service is closed."""
        before = asyncio.all_tasks()
        self.memories = self._service()
        self.calls.task = asyncio.create_task(self._called())
        await asyncio.wait({self.calls.task}, timeout=LONGEST)
        if not self.calls.task.done():
            self.wrong.append("it did not end within its deadline")
            self.calls.task.cancel()
            await asyncio.wait({self.calls.task})
        self.calls.armed = False
        self.error = None if self.calls.task.cancelled() else self.calls.task.exception()
        if self.calls.task.cancelled():
            self.error = asyncio.CancelledError()
        elif self.error is not None and not isinstance(self.error, PersistenceError | asyncio.CancelledError):
            self.wrong.append(f"it raised {self.error!r}")
        await self.memories.close()
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        if left and (left := (await asyncio.wait(left, timeout=GRACE))[1]):
            self.wrong.append(f"tasks are left: {sorted(task.get_name() for task in left)}")

    async def _called(self) -> None:
        if self.operation.whole:
            self.calls.armed = True
            await self.memories.open()
            await self.operation.do(self)
            await self.memories.close()
            return
        await self.memories.open()
        self.calls.armed = True
        await self.operation.do(self)
        await self.memories.parts.settler.flush()

    # --- what is looked at -----------------------------------------------------------------------------------------

    async def _state(self) -> State:
        """Return what truth has of both tenants."""
        found: State = {}
        for user, side in ((self.user, "own"), (self.other, "other")):
            page = await self.memories.get_all(user_id=user, limit=100)
            by_key = derived_id(user, "key")
            named = {"by key" if memory.id == by_key else memory.id: _said(memory) for memory in page.memories}
            found.update({f"{side} {name}": said for name, said in named.items()})
        return found

    async def _judge(self, expected: State, *, free: bool) -> None:
        now = await self._state()
        if free:
            self.new = now
        else:
            self._compare(now, expected)
        registered = self.memories.parts.graph.role is GraphRole.REGISTERED
        if registered:
            await self._doubts()
            await self._relay()
        await self._calm()
        if await self._state() != now:
            self.wrong.append("truth changed while all was quiet")

    def _compare(self, now: State, new: State) -> None:
        """See that each memory is as it was or as it is to be, and that what was answered is true."""
        for name in {*self.old, *new, *now}:
            if now.get(name) not in (self.old.get(name), new.get(name)):
                self.wrong.append(f"{name} is neither old nor new: {now.get(name)}")
        if self.error is None and now != new:
            self.wrong.append("it was acknowledged and not done")
        refused = isinstance(self.error, PersistenceError) and not isinstance(self.error, UNKNOWN)
        if refused and self.operation.single and now != self.old:
            self.wrong.append(f"it was refused ({self.error!r}), and done")

    async def _doubts(self) -> None:
        """I2: what is not the same in both is listed, or under a rebuild that empties."""
        parts = self.memories.parts
        keys = [Key(user, name) for user in (self.user, self.other) for name in (*NAMES, derived_id(user, "key"))]
        truth = await parts.truth.store.standings(keys)
        graph = await parts.graph.store.heads(keys)
        unlike = [key for key in keys if not truth[key].pending and _unlike(truth[key], graph.get(key))]
        if unlike and not self.planted and not await self._emptying():
            self.wrong.append(f"in doubt, and listed nowhere: {unlike}")

    async def _emptying(self) -> bool:
        """Say whether a rebuild that empties the tenant was left unfinished."""
        runs = await self.sync.list_runs(kind=RunKind.REBUILD, user_id=self.user, limit=10)
        left = {RunState.RUNNING, RunState.INTERRUPTED}
        return any(run.state in left and run.request["clear_existing"] for run in runs)

    async def _relay(self) -> None:
        """Let the relay work: nothing may be left but what a lease runs out on that could not be given back."""
        wait = await self.memories.parts.truth.store.next_due()
        self.waits = wait is not None and wait > SOON
        if self.waits and self.operation.single and self.calls.hit not in RELEASES:
            self.wrong.append(f"a lease is left behind for {wait:.1f} s")
        await self.place.later()
        await self.memories.retry_dead(None)
        await self.memories.drain()

    async def _calm(self) -> None:
        """Bring what was planted or interrupted to its end, as an operator does; then nothing may be found."""
        if self.memories.parts.graph.role is GraphRole.REGISTERED:
            if await self._emptying():
                await self.sync.rebuild_graph(user_id=self.user, clear_existing=True)
            if self.planted:
                await self.sync.repair_inconsistencies(Depth.FULL, user_id=self.user, dry_run=False, force=True)
                await self.memories.drain()
        for user in (None,) if self.place.own else (self.user, self.other):
            report = await self.sync.check_consistency(Depth.FULL, user_id=user)
            listed = report.pending if report.independent else 0
            if not report.complete or report.found or listed:
                self.wrong.append(f"after calm, a check finds {dict(report.counts)}, {report.pending} pending")


def _said(memory: Any) -> Any:
    return memory.content, memory.metadata, tuple(map(str, memory.entities)), tuple(map(str, memory.relationships))


def _unlike(standing: Any, head: Any) -> bool:
    if not standing.live:
        return head is not None and head.live
    return head is None or (head.version, head.digest) != (standing.version, standing.digest)


def sentences(cases: Iterable[Case]) -> list[str]:
    """Say what is wrong with cases."""
    return [f"{case}: {wrong}" for case in cases for wrong in case.wrong]
