"""How the operations of a workload are done, and what of their answers is told to the oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from persistence.drafting import derived_id
from persistence.errors import (
    BulkInterruptedError,
    DeadlineExceededError,
    MemoryNotFoundError,
    PersistenceError,
    VectorStoreError,
    VersionConflictError,
)
from persistence.ports.outbox import Key
from persistence.ports.runs import RunKind, RunState
from persistence.records import Entity
from persistence.results import Outcome, PersistenceResult
from persistence.vector.memory.run_rows import RunRow
from persistence.vector.memory.state import Table
from persistence.vector.payloads import entities_text, object_text
from sync import CheckReport, Depth, RepairReport, SyncResult
from tests.faults.simulator.damage import damage
from tests.faults.simulator.loop import Process
from tests.faults.simulator.oracle import Intent
from tests.faults.simulator.workload import ENTITIES, Do, Op
from tests.faults.simulator.world import DIMENSION, Slot, World

#: What says that nothing was written.
REFUSALS = (VectorStoreError, VersionConflictError, MemoryNotFoundError, DeadlineExceededError)
EMBEDDING = [1.0] * DIMENSION


@dataclass
class Acts:
    """Does operations in a world."""

    world: World
    begun: list[tuple[Op, Process, asyncio.Task[Any]]] = field(default_factory=list)

    def going(self) -> list[tuple[Op, asyncio.Task[Any]]]:
        """Return the operations under way in processes that live."""
        return [(op, task) for op, process, task in self.begun if not task.done() and not process.dead]

    def begin(self, op: Op) -> None:
        """Begin an operation. Where there is no process to do it, one is born; one that is stopped is not asked."""
        if (now := self._worldly().get(op.do)) is not None:
            now(op)
            return
        slot = self.world.slots[op.slot]
        if slot.process is None:
            self.world.born(slot, op.number)
        elif slot.alive:
            task = self.world.spawn(slot.process, op.number, self._done(op, slot))
            self.begun.append((op, slot.process, task))

    async def _done(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        if not slot.alive:
            return
        try:
            await self._ours()[op.do](op, slot)
        except PersistenceError as error:
            self.world.trace.add("op", op.number, type(error).__name__)
        except asyncio.CancelledError:
            self.world.trace.add("op", op.number, "cancelled")
            raise
        except Exception as error:  # noqa: BLE001  # a defect, which is what is looked for
            self.world.oracle.broke("errors", f"operation {op.number} ({op.do}) raised {error!r}")
        else:
            self.world.trace.add("op", op.number, "done", self.world.oracle.events - since)

    def _ours(self) -> Mapping[Do, Callable[[Op, Slot], Awaitable[None]]]:
        return {
            Do.STORE: self._store,
            Do.STORE_ONCE: self._store_once,
            Do.STORE_MANY: self._store_many,
            Do.UPDATE: self._update,
            Do.DELETE: self._delete,
            Do.DELETE_ALL: self._delete_all,
            Do.GET: self._get,
            Do.LIST: self._list,
            Do.RELATED: self._related,
            Do.WAIT: self._wait,
            Do.CHECK: self._check,
            Do.REPAIR: self._repair,
            Do.REBUILD: self._rebuild,
            Do.FULL: self._full,
            Do.CANCEL_RUN: self._cancel_run,
            Do.CLOSE: self._close,
        }

    # --- writes -----------------------------------------------------------------------------------------------------

    def _intent(self, op: Op, key: Key, given: Mapping[str, Any], **more: Any) -> Intent:
        undoable = bool(self.world.config.rollback_on_partial_failure)
        intent = Intent(op.number, key, _parts(given), undoable=undoable, **more)
        self.world.oracle.intents.setdefault(key, []).append(intent)
        return intent

    async def _write(self, intent: Intent, call: Coroutine[Any, Any, PersistenceResult]) -> None:
        try:
            result = await call
        except REFUSALS:
            self.world.oracle.refuse(intent)
            raise
        self._answered(intent, result)

    def _answered(self, intent: Intent, result: PersistenceResult) -> None:
        if result.user_id != intent.key.user_id:
            self.world.oracle.broke("I9", f"operation {intent.operation} was answered for {result.user_id}")
        if result.outcome is Outcome.ROLLED_BACK:
            self.world.oracle.rolled_back(intent, result.version)
        elif result.changed:
            self.world.oracle.acknowledged(intent, result.version, in_step=result.outcome is Outcome.IN_STEP)

    async def _store(self, op: Op, slot: Slot) -> None:
        given, key = _memory(op, 0), Key(op.user_id, op.id)
        intent = self._intent(op, key, given)
        await self._write(intent, _service(slot).store(**given, id=op.id, timeout=_timeout(op)))

    async def _store_once(self, op: Op, slot: Slot) -> None:
        given = _memory(op, 0)
        intent = self._intent(op, Key(op.user_id, derived_id(op.user_id, op.id)), given, keeps=True)
        await self._write(intent, _service(slot).store(**given, idempotency_key=op.id, timeout=_timeout(op)))

    async def _store_many(self, op: Op, slot: Slot) -> None:
        ids = [f"{'abcdef'[(op.dice >> 3 * place) % 6]}" for place in range(2 + op.dice % 4)]
        items = [{**_memory(op, place), "id": name} for place, name in enumerate(ids)]
        keys = [Key(op.user_id, name) for name in ids]
        intents = [self._intent(op, key, item) for key, item in zip(keys, items, strict=True)]
        try:
            results = dict(enumerate(await _service(slot).store_many(items, timeout=_timeout(op))))
        except BulkInterruptedError as error:
            results = dict(error.results)  # type: ignore[arg-type]  # they are results
        for place, result in results.items():
            if keys[place] not in keys[place + 1 :]:
                self._answered(intents[place], result)

    async def _update(self, op: Op, slot: Slot) -> None:
        key, patch = Key(op.user_id, op.id), _patch(op)
        expected = self._expected(op, key)
        intent = self._intent(op, key, patch, expected=expected)
        call = _service(slot).update(
            op.id, user_id=op.user_id, expected_version=expected, timeout=_timeout(op), **patch
        )
        await self._write(intent, call)

    async def _delete(self, op: Op, slot: Slot) -> None:
        key = Key(op.user_id, op.id)
        expected = self._expected(op, key)
        intent = self._intent(op, key, {}, deletes=True, expected=expected)
        call = _service(slot).delete(op.id, user_id=op.user_id, expected_version=expected, timeout=_timeout(op))
        await self._write(intent, call)

    async def _delete_all(self, op: Op, slot: Slot) -> None:
        self.world.oracle.sweeping[op.number] = op.user_id
        await _service(slot).delete_all(user_id=op.user_id, timeout=_timeout(op))

    def _expected(self, op: Op, key: Key) -> int | None:
        """Expect nothing, or what is there, or what was there once."""
        versions = [fact.version for fact in self.world.oracle.history(key) if fact.parts is not None]
        choice = op.pick("none", "none", "last", "old", shift=9)
        return {"none": None, "last": versions[-1], "old": versions[0]}[choice] if versions else None

    # --- reads ------------------------------------------------------------------------------------------------------

    async def _get(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        found = await _service(slot).get(op.id, user_id=op.user_id, timeout=_timeout(op))
        self.world.oracle.read(Key(op.user_id, op.id), found.version if found else None, since)

    async def _list(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        page = await _service(slot).get_all(user_id=op.user_id, limit=op.pick(1, 3, 100), timeout=_timeout(op))
        self._shown(op, [(memory.user_id, memory.id, memory.version) for memory in page.memories], since)

    async def _related(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        found = await _service(slot).related(op.id, user_id=op.user_id, depth=2, timeout=_timeout(op))
        self._shown(op, [(h.memory.user_id, h.memory.id, h.memory.version) for h in found.hits], since)

    def _shown(self, op: Op, memories: Sequence[tuple[str, str, int]], since: int) -> None:
        for user_id, name, version in memories:
            if user_id != op.user_id:
                self.world.oracle.broke("I9", f"operation {op.number} was shown {user_id}/{name}")
            self.world.oracle.read(Key(user_id, name), version, since)

    async def _wait(self, op: Op, slot: Slot) -> None:
        await _service(slot).wait_until_in_step(op.id, user_id=op.user_id, timeout=_timeout(op))

    # --- checks and what follows from them ----------------------------------------------------------------------------

    async def _check(self, op: Op, slot: Slot) -> None:
        since, depth = self.world.oracle.events, _depth(op)
        ids = [op.id] if op.pick(False, True, shift=6) else None
        user = op.user_id if ids else _scope(op)
        report = await self.world.sync(slot).check_consistency(depth, user_id=user, ids=ids)
        self.judge(op.number, report, since, whole=ids is None)

    async def _repair(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        check = self._run(op, lambda run: run.kind is RunKind.CHECK and run.state is RunState.DONE)
        report = await self.world.sync(slot).repair_inconsistencies(
            _depth(op),
            user_id=_scope(op) if check is None else None,
            dry_run=op.pick(False, False, True, shift=7),
            force=op.pick(True, False),
            run_id=check,
        )
        self._judge_any(op.number, report, since)

    async def _rebuild(self, op: Op, slot: Slot) -> None:
        user = _scope(op)
        clear = user is not None and op.pick(True, False, shift=8)
        await self.world.sync(slot).rebuild_graph(user_id=user, clear_existing=clear, force=op.pick(True, False))

    async def _full(self, op: Op, slot: Slot) -> None:
        since = self.world.oracle.events
        self._judge_any(op.number, await self.world.sync(slot).full_sync(_depth(op), user_id=_scope(op)), since)

    async def _cancel_run(self, op: Op, slot: Slot) -> None:
        if (run := self._run(op, lambda run: run.state is RunState.RUNNING)) is not None:
            await self.world.sync(slot).cancel_run(run)

    def _run(self, op: Op, wanted: Callable[[RunRow], bool]) -> UUID | None:
        """Return the newest of some runs, or, as the dice say, none."""
        runs = [run.id for run in self.world.storage.state.rows(Table.RUNS).values() if wanted(run)]
        return max(runs) if runs and op.pick(True, False, shift=17) else None

    async def _close(self, op: Op, slot: Slot) -> None:  # noqa: ARG002  # as all of them
        """End a process in good order."""
        process, memories = slot.process, slot.memories
        slot.memories = None
        try:
            if memories is not None:
                await memories.close()
        finally:
            if process is not None:
                process.dead = True
            if slot.process is process:
                slot.process = None

    def _judge_any(self, number: int, report: RepairReport | SyncResult, since: int) -> None:
        reports = [report.check] if isinstance(report, RepairReport) else [report.repair.check, report.after]
        for one in reports:
            self.judge(number, one, since, whole=False)

    def judge(self, number: int, report: CheckReport, since: int, *, whole: bool) -> None:
        """See that a drift that is reported was one, and that one that was there all the time is reported."""
        oracle = self.world.oracle
        shown = set()
        for one in report.inconsistencies:
            key = Key(one.user_id, one.memory_id or "")
            shown.add(key)
            known = one.memory_id is None and one.user_id in self.world.ghosts
            if not known and not oracle.was_drift(key, since):
                oracle.broke(
                    "alarms", f"operation {number} reported {one.kind} of {key}, and nothing was wrong with it"
                )
        if report.complete and whole:
            for key in oracle.drifted_throughout(since):
                if report.user_id in {None, key.user_id} and key not in shown:
                    oracle.broke("checks", f"operation {number} overlooked {key}")

    # --- what happens to the world ------------------------------------------------------------------------------------

    def _worldly(self) -> Mapping[Do, Callable[[Op], None]]:
        return {
            Do.CANCEL: self._cancel,
            Do.KILL: lambda op: self.world.kill(self.world.slots[op.slot]),
            Do.STOP: lambda op: self.world.stop(self.world.slots[op.slot], op.pick(3.0, 12.0, 40.0, 100.0)),
            Do.DAMAGE: lambda op: damage(self.world, op),
            Do.OUTAGE: self._outage,
            Do.POISON: lambda op: self.world.poisoned.add((op.user_id, op.id)),
            Do.JUMP: self._jump,
        }

    def _cancel(self, op: Op) -> None:
        """Cancel a call that is under way in a process that runs."""
        if going := self.going():
            _, task = going[op.dice % len(going)]
            task.cancel()

    def _outage(self, op: Op) -> None:
        server = op.pick(self.world.graph_server, self.world.graph_server, self.world.truth_server)
        server.down_until = self.world.loop.time() + op.pick(0.5, 3.0, 15.0, shift=4)

    def _jump(self, op: Op) -> None:
        self.world.skew += op.pick(-30.0, -5.0, 5.0, 30.0)


def _service(slot: Slot) -> Any:
    return slot.memories


def _timeout(op: Op) -> float:
    return float(op.pick(0.3, 2.0, 5.0, 20.0, shift=20))


def _depth(op: Op) -> Depth:
    return op.pick(Depth.QUICK, Depth.STRUCTURE, Depth.FULL, shift=12)  # type: ignore[no-any-return]  # it is one


def _scope(op: Op) -> str | None:
    return op.user_id if op.pick(True, False, shift=15) else None


def _word(op: Op, place: int) -> str:
    return f"{op.user_id} said {op.number}.{place}"


def _entities(op: Op, place: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return entities that say which operation named them, and a relationship where there are two."""
    chosen = [name for bit, name in enumerate(ENTITIES) if op.dice >> (24 + 4 * place + bit) & 1]
    said = [{"name": name, "type": "Person", "properties": {"by": _word(op, place)}} for name in chosen]
    if len(chosen) < 2:
        return said, []
    return said, [{"source": chosen[0], "type": "KNOWS", "target": chosen[1], "properties": {"by": op.number}}]


def _memory(op: Op, place: int) -> dict[str, Any]:
    entities, relationships = _entities(op, place)
    return {
        "user_id": op.user_id,
        "content": _word(op, place),
        "metadata": {"by": _word(op, place)},
        "entities": entities,
        "relationships": relationships,
        "embedding": EMBEDDING,
    }


def _patch(op: Op) -> dict[str, Any]:
    whole = _memory(op, 0)
    fields = op.pick(("content",), ("metadata",), ("entities", "relationships"), ("content", "metadata"), shift=30)
    return {name: whole[name] for name in fields}


def _parts(given: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return what a memory says as truth writes it down."""
    entities = given.get("entities")
    return (
        given.get("content"),
        object_text(given["metadata"]) if "metadata" in given else None,
        None if entities is None else entities_text(tuple(Entity(**entity) for entity in entities)),
    )
