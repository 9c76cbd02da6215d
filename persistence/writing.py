"""The write path of one memory: truth with its outbox entry, then the graph, then settle (design section 5)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from persistence.bounded import Calls
from persistence.drafting import Prepared, deletion, rewrite
from persistence.errors import (
    DeadlineExceededError,
    GraphStoreError,
    MemoryNotFoundError,
    OutcomeUnknownError,
    VectorStoreError,
    VersionConflictError,
)
from persistence.follower import Follower
from persistence.gates import GraphGate, GraphRole, Resendable, TruthGate
from persistence.log import get_logger
from persistence.ports.graph import GraphWrite, Verdict
from persistence.ports.outbox import Key, Settlement
from persistence.ports.vector import MemoryDelete, Tracking, WriteReceipt, Written
from persistence.records import Memory
from persistence.results import Outcome, PersistenceResult, StorageStatus
from persistence.retry import Deadline
from persistence.settling import Settler

log = get_logger("writing")

#: Seconds added to a call's deadline for the lease on its outbox entry: no relay takes what is still being written.
LEASE_MARGIN = 5.0
#: Seconds of a call kept back for answering once the graph's time is over, and for undoing a write.
ANSWER_RESERVE = 0.1
ROLLBACK_RESERVE = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """One write that truth has: what of it the graph has to be told, and how the outbox lists it.

    ``prepared`` and ``memory`` are None for a delete.
    """

    key: Key
    write_id: uuid.UUID
    receipt: WriteReceipt
    graph: GraphWrite
    prepared: Prepared | None = None
    memory: Memory | None = None

    @property
    def settlement(self) -> Settlement:
        """Return what takes it out of the outbox."""
        return Settlement(self.key.user_id, self.key.id, self.write_id, self.graph.version)

    def result(self, outcome: Outcome, graph: StorageStatus, error: str | None = None) -> PersistenceResult:
        """Return the caller's answer."""
        key, version = self.key, self.graph.version
        return PersistenceResult(key.id, key.user_id, outcome, version, self.memory, graph, error=error)


class Writer:
    """Writes one memory at a time, in both stores."""

    def __init__(
        self,
        truth: TruthGate,
        graph: GraphGate,
        follower: Follower,
        settler: Settler,
        calls: Calls,
        *,
        rollback: bool,
        wake: Callable[[], None],
    ) -> None:
        self._truth = truth
        self._graph = graph
        self._follower = follower
        self._settler = settler
        self._calls = calls
        self._rollback = rollback
        self._wake = wake

    def tracking(self, deadline: Deadline) -> Tracking:
        """Return how this call's outbox entries are made."""
        return Tracking(self._graph.role is GraphRole.REGISTERED, deadline.remaining() + LEASE_MARGIN)

    async def store(
        self, prepared: Prepared, deadline: Deadline, *, first: WriteReceipt | None = None
    ) -> PersistenceResult:
        """Write one memory. Raises what truth raises; the graph's errors are in the result.

        ``first``: of the same write, which is done once more above the graph; undoing goes back to before that one.
        """
        write = prepared.write
        tracking = self.tracking(deadline)
        resendable = Resendable(
            lambda: self._truth.store.write(write, tracking, want_former=self._rollback),
            write.write_id,
            write.expected_version,
        )
        receipt = _undoing(await self._to_truth(write.key, resendable, deadline), first)
        if receipt.status is not Written.WRITTEN:
            return await self._left_alone(write.key, receipt, deadline)
        graph, memory = prepared.graph_write(receipt), prepared.memory(receipt)
        return await self.finish(Change(write.key, write.write_id, receipt, graph, prepared, memory), deadline)

    async def delete(
        self, delete: MemoryDelete, deadline: Deadline, *, first: WriteReceipt | None = None
    ) -> PersistenceResult:
        """Delete one memory; deleting what is not there changes nothing, and says so. ``first``: as in ``store``."""
        tracking = self.tracking(deadline)

        async def send() -> WriteReceipt:
            return (await self._truth.store.delete_many([delete], tracking, want_former=self._rollback))[0]

        resendable = Resendable(send, delete.write_id, delete.expected_version)
        receipt = _undoing(await self._to_truth(delete.key, resendable, deadline), first)
        if receipt.status is not Written.WRITTEN:
            return await self._left_alone(delete.key, receipt, deadline)
        version = receipt.version or 0
        graph = deletion(delete.key, version)
        return await self.finish(Change(delete.key, delete.write_id, receipt, graph), deadline)

    async def _to_truth(self, key: Key, write: Resendable, deadline: Deadline) -> WriteReceipt:
        sending: set[asyncio.Task[Any]] = set()

        async def send() -> WriteReceipt:
            if task := asyncio.current_task():
                sending.add(task)
            return await write.send()

        try:
            return await self._truth.write(key, replace(write, send=send), deadline)
        except (OutcomeUnknownError, asyncio.CancelledError):
            self._calls.later(self._abandon(key, write, sending))
            raise

    async def _abandon(self, key: Key, write: Resendable, sending: set[asyncio.Task[Any]]) -> None:
        """Let the relay take what a write of unknown outcome may have left, instead of after its lease."""
        if sending:
            await asyncio.wait(sending)
        store, deadline = self._truth.store, Deadline(LEASE_MARGIN)
        await self._truth.read(lambda: store.resolve(key, write.write_id, write.former_version), deadline)
        entry = (await self._truth.read(lambda: store.pending([key]), deadline)).get(key)
        if entry is not None and entry.entry_id == write.write_id:
            settlement = Settlement(*key, write.write_id, entry.version)
            await self._truth.change(lambda: store.release([settlement]), deadline)
            self._wake()

    async def finish(self, change: Change, deadline: Deadline) -> PersistenceResult:
        """Bring the graph up to a write that truth has. What fails or is cancelled here is in the outbox."""
        if self._graph.role is GraphRole.DISABLED:
            return change.result(Outcome.PENDING if change.receipt.tracked else Outcome.IN_STEP, StorageStatus.DISABLED)
        if self._graph.role is GraphRole.LOCAL:
            await self._follower.note([change.graph])
            return change.result(Outcome.IN_STEP, StorageStatus.OK)
        try:
            return await self._bring_up(change, deadline)
        except BaseException:
            self.release([change])
            raise

    async def _bring_up(self, change: Change, deadline: Deadline) -> PersistenceResult:
        """Answer in every case that is not a cancellation: truth has the write, whatever fails after it."""
        try:
            return await self._project(change, deadline)
        except GraphStoreError as error:
            return await self._failed(change, error, deadline)
        except (VersionConflictError, MemoryNotFoundError) as error:
            return change.result(Outcome.SUPERSEDED, StorageStatus.PENDING, error.message)
        except (VectorStoreError, OutcomeUnknownError, DeadlineExceededError) as error:
            self.release([change])
            return change.result(Outcome.PENDING, StorageStatus.PENDING, error.message)

    async def _project(self, change: Change, deadline: Deadline) -> PersistenceResult:
        reserve = ROLLBACK_RESERVE if self._rollback else ANSWER_RESERVE
        (ack,) = await self._graph.apply([change.graph], max(deadline.remaining(reserve), deadline.remaining() / 2))
        if ack.verdict is Verdict.NEWER:
            return await self._overtaken(change, ack.version, deadline)
        self._settler.add([change.settlement])
        return change.result(Outcome.IN_STEP, StorageStatus.OK)

    async def _overtaken(self, change: Change, seen: int, deadline: Deadline) -> PersistenceResult:
        """Answer where the graph is newer: someone wrote since, or truth is an old copy and goes above it."""
        there = (await self._truth.read(lambda: self._truth.store.read([change.key]), deadline)).get(change.key)
        if there is None or there.version != change.graph.version:
            return change.result(Outcome.SUPERSEDED, StorageStatus.OK)
        log.warning("The graph is ahead of truth; truth is written anew above it.", action="graph_ahead", version=seen)
        if change.prepared is None:
            delete = MemoryDelete(*change.key, uuid.uuid4(), change.graph.bucket, change.graph.version, above=seen)
            return await self.delete(delete, deadline, first=change.receipt)
        again = replace(change.prepared.write, write_id=uuid.uuid4(), expected_version=change.graph.version, above=seen)
        return await self.store(replace(change.prepared, write=again), deadline, first=change.receipt)

    async def _failed(self, change: Change, error: GraphStoreError, deadline: Deadline) -> PersistenceResult:
        if self._rollback and not change.receipt.resent:
            return await self._undo(change, error, deadline)
        self.release([change])
        kept = " It could not be undone: what was there before it is not known any more." if self._rollback else ""
        return change.result(Outcome.PENDING, StorageStatus.PENDING, error.message + kept)

    def release(self, changes: Sequence[Change]) -> None:
        """Let the relay take these entries now, instead of after their lease."""
        settlements = sorted(change.settlement for change in changes)

        async def release() -> None:
            await self._calls.run(self._truth.store.release(settlements), LEASE_MARGIN)
            self._wake()

        self._calls.later(release())

    async def _undo(self, change: Change, error: GraphStoreError, deadline: Deadline) -> PersistenceResult:
        """Compensate: put the former record, or a tombstone, above our version, while truth still is at it.

        The compensation is a write like any other, with an outbox entry of its own; so it is recorded with its
        effect, and pending until the graph has it. A crash before it leaves our write to roll forward. Raises
        OutcomeUnknownError where it may or may not have been done.
        """
        try:
            memory, version = await self._compensate(change, deadline)
        except (VersionConflictError, MemoryNotFoundError):
            return change.result(Outcome.SUPERSEDED, StorageStatus.PENDING, error.message)
        except VectorStoreError as failed:
            self.release([change])
            return change.result(
                Outcome.PENDING, StorageStatus.PENDING, f"{error.message} It could not be undone: {failed.message}"
            )
        self._wake()
        result = change.result(Outcome.ROLLED_BACK, StorageStatus.ROLLED_BACK, error.message)
        return replace(result, vector=StorageStatus.ROLLED_BACK, version=version, memory=memory, changed=False)

    async def _compensate(self, change: Change, deadline: Deadline) -> tuple[Memory | None, int | None]:
        at_once = Tracking(graph=True, lease=0.0)
        store, former, ours = self._truth.store, change.receipt.former, change.graph.version
        if former is None:
            delete = MemoryDelete(*change.key, uuid.uuid4(), change.graph.bucket, ours)

            async def send() -> WriteReceipt:
                return (await store.delete_many([delete], at_once))[0]

            receipt = await self._truth.write(change.key, Resendable(send, delete.write_id, ours), deadline)
            return None, receipt.version
        restored = rewrite(former, ours)
        again = Resendable(lambda: store.write(restored.write, at_once), restored.write.write_id, ours)
        receipt = await self._truth.write(change.key, again, deadline)
        return restored.memory(receipt), receipt.version

    async def _left_alone(self, key: Key, receipt: WriteReceipt, deadline: Deadline) -> PersistenceResult:
        """Answer for a write that found nothing to do, with what is there."""
        store = self._truth.store
        there = (await self._truth.read(lambda: store.read([key]), deadline)).get(key)
        entries = await self._truth.read(lambda: store.pending([key]), deadline)
        live = there.memory if there else None
        gone = receipt.status is Written.DELETED and live is None
        graph = StorageStatus.DISABLED if self._graph.role is GraphRole.DISABLED else StorageStatus.OK
        return PersistenceResult(
            key.id,
            key.user_id,
            Outcome.PENDING if key in entries else Outcome.IN_STEP,
            there.version if there else None,
            None if gone else live,
            StorageStatus.PENDING if key in entries and graph is StorageStatus.OK else graph,
            changed=False,
        )


def _undoing(receipt: WriteReceipt, first: WriteReceipt | None) -> WriteReceipt:
    """Return a receipt with what ``first``, the same write at a lower version, had replaced."""
    return receipt if first is None else replace(receipt, former=first.former, resent=first.resent)
