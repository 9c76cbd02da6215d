"""Many memories: one transaction a batch in each store, truth of the next batch while the graph takes this one."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from persistence.drafting import Drafter, Prepared, deletion
from persistence.errors import BulkInterruptedError, GraphStoreError, PersistenceError
from persistence.filters import Filter
from persistence.follower import Follower
from persistence.gates import GraphGate, GraphRole, TruthGate
from persistence.ports.graph import GraphAck, Verdict
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, WriteMode, WriteReceipt, Written
from persistence.projection import bucket
from persistence.records import MemoryDraft
from persistence.results import DeleteAllResult, Outcome, PersistenceResult, StorageStatus
from persistence.retry import Deadline
from persistence.settings import PersistenceConfig
from persistence.settling import Settler
from persistence.writing import Change, Writer

#: Writes under way at once where a batch cannot be one transaction, because each may have to be undone.
CONCURRENT = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a bulk call is: items acknowledged by truth, of how many."""

    done: int
    total: int


class BulkCancelledError(asyncio.CancelledError):
    """A bulk call was cancelled. ``results``: the items that truth acknowledged before, by their position."""

    def __init__(self, results: dict[int, PersistenceResult]) -> None:
        self.results = results
        super().__init__(f"cancelled after {len(results)} items were acknowledged")


OnProgress = Callable[[Progress], None]


class Bulk:
    """The bulk calls of one service."""

    def __init__(
        self,
        truth: TruthGate,
        graph: GraphGate,
        follower: Follower,
        settler: Settler,
        drafter: Drafter,
        writer: Writer,
        config: PersistenceConfig,
    ) -> None:
        self._truth = truth
        self._graph = graph
        self._follower = follower
        self._settler = settler
        self._drafter = drafter
        self._writer = writer
        self._config = config

    async def store(
        self, drafts: Sequence[MemoryDraft], mode: WriteMode, seconds: float, progress: OnProgress | None
    ) -> list[PersistenceResult]:
        """Store drafts that were checked; an outcome for each, in the order given.

        Of drafts with one identity the last is written, and the others are ``superseded``.
        """
        run = _Run(len(drafts), progress)
        chosen = _last_of_each(drafts)
        batches = [chosen[i : i + self._config.batch_size] for i in range(0, len(chosen), self._config.batch_size)]
        try:
            await self._pipeline(run, drafts, batches, mode, seconds)
        except asyncio.CancelledError:
            raise BulkCancelledError(run.results) from None
        except PersistenceError as error:
            if not run.results:
                raise
            raise BulkInterruptedError(run.results, len(drafts)) from error
        return run.complete(drafts, chosen)

    async def _pipeline(
        self,
        run: _Run,
        drafts: Sequence[MemoryDraft],
        batches: Sequence[Sequence[int]],
        mode: WriteMode,
        seconds: float,
    ) -> None:
        """Prepare batch k+2, write truth of k+1 and bring the graph up to k, all at once."""
        async with _ahead(lambda batch: self._drafter.prepare([drafts[i] for i in batch], mode), batches) as prepared:
            projecting: asyncio.Task[None] | None = None
            changes: list[tuple[int, Change]] = []
            behind: list[tuple[int, Change]] = []
            try:
                async for positions, ready in prepared:
                    deadline = Deadline(seconds)
                    if self._config.rollback_on_partial_failure:
                        await self._one_by_one(run, positions, ready, deadline)
                        continue
                    changes = await self._to_truth(run, positions, ready, deadline)
                    if projecting is not None:
                        await projecting
                    projecting, behind = asyncio.create_task(self._project(run, changes, deadline)), changes
                if projecting is not None:
                    await projecting
            except BaseException:
                # What truth has and the graph may not have; the projecting task may never have begun.
                self._writer.release([change for _, change in (*behind, *changes)])
                raise
            finally:
                if projecting is not None and not projecting.done():
                    projecting.cancel()
                    await asyncio.wait({projecting})

    async def _to_truth(
        self, run: _Run, positions: Sequence[int], prepared: Sequence[Prepared], deadline: Deadline
    ) -> list[tuple[int, Change]]:
        """Write one batch to truth, seeing it to its end even when cancelled: it must be known what is durable."""
        writes, tracking = [one.write for one in prepared], self._writer.tracking(deadline)
        store = self._truth.store
        task = asyncio.ensure_future(self._truth.change(lambda: store.write_many(writes, tracking), deadline))
        cancelled = False
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                cancelled = True
        if cancelled and task.exception() is not None:
            raise asyncio.CancelledError from task.exception()
        receipts = task.result()
        answers = [_so_far(one, receipt, self._graph.role) for one, receipt in zip(prepared, receipts, strict=True)]
        changes = _changes(positions, prepared, receipts, answers)
        try:
            run.acknowledge(positions, answers)
        except BaseException:  # the caller's progress callback may raise what it likes
            self._writer.release([change for _, change in changes])
            raise
        if cancelled:
            self._writer.release([change for _, change in changes])
            raise asyncio.CancelledError
        return changes

    async def _one_by_one(
        self, run: _Run, positions: Sequence[int], prepared: Sequence[Prepared], deadline: Deadline
    ) -> None:
        """Write each memory on its own: each may have to be undone on its own."""
        limit = asyncio.Semaphore(CONCURRENT)

        async def one(position: int, ready: Prepared) -> None:
            async with limit:
                run.acknowledge([position], [await self._writer.store(ready, deadline)])

        every = [one(position, ready) for position, ready in zip(positions, prepared, strict=True)]
        for ended in await asyncio.gather(*every, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def _project(self, run: _Run, changes: Sequence[tuple[int, Change]], deadline: Deadline) -> None:
        for position, result in await self._outcomes(changes, deadline):
            run.results[position] = result

    async def _outcomes(
        self, changes: Sequence[tuple[int, Change]], deadline: Deadline
    ) -> list[tuple[int, PersistenceResult]]:
        """Bring the graph up to a batch that truth has; what cannot be done now is left to the relay."""
        if not changes or self._graph.role is GraphRole.DISABLED:
            return []
        writes = [change.graph for _, change in changes]
        if self._graph.role is GraphRole.LOCAL:
            await self._follower.note(writes)
            return [(i, change.result(Outcome.IN_STEP, StorageStatus.OK)) for i, change in changes]
        try:
            acks = await self._graph.apply(writes, deadline.remaining())
        except GraphStoreError as error:
            self._writer.release([change for _, change in changes])
            return [(i, c.result(Outcome.PENDING, StorageStatus.PENDING, error.message)) for i, c in changes]
        except BaseException:
            self._writer.release([change for _, change in changes])
            raise
        return await self._settled(changes, acks, deadline)

    async def _settled(
        self, changes: Sequence[tuple[int, Change]], acks: Sequence[GraphAck], deadline: Deadline
    ) -> list[tuple[int, PersistenceResult]]:
        done = [(i, c) for (i, c), ack in zip(changes, acks, strict=True) if ack.verdict is not Verdict.NEWER]
        newer = [(i, c) for (i, c), ack in zip(changes, acks, strict=True) if ack.verdict is Verdict.NEWER]
        self._settler.add([change.settlement for _, change in done])
        results = [(i, change.result(Outcome.IN_STEP, StorageStatus.OK)) for i, change in done]
        return results + (await self._newer(newer, deadline) if newer else [])

    async def _newer(
        self, newer: Sequence[tuple[int, Change]], deadline: Deadline
    ) -> list[tuple[int, PersistenceResult]]:
        """Answer where the graph has newer versions: overtaken by someone, or to be lifted above them by the relay."""
        self._writer.release([change for _, change in newer])
        keys = [change.key for _, change in newer]
        there = await self._truth.read(lambda: self._truth.store.read(keys), deadline)
        return [
            (i, c.result(Outcome.PENDING, StorageStatus.PENDING, "The graph is ahead of truth."))
            if c.key in there and there[c.key].version == c.graph.version
            else (i, c.result(Outcome.SUPERSEDED, StorageStatus.OK))
            for i, c in newer
        ]

    # --- delete all -------------------------------------------------------------------------------------------

    async def delete_all(self, user_id: str, seconds: float) -> DeleteAllResult:
        """Delete a tenant's memories in pages. Whoever calls again goes on where this stopped."""
        started, deleted, pending = time.perf_counter(), 0, 0
        after: str | None = None
        while True:
            deadline = Deadline(seconds)
            page = await self._truth.read(
                lambda after=after: self._truth.store.page(  # type: ignore[misc]  # mypy does not infer a default
                    user_id, after=after, limit=self._config.batch_size, where=Filter()
                ),
                deadline,
            )
            if not page:
                return DeleteAllResult(deleted, pending, (time.perf_counter() - started) * 1000)
            after = page[-1].id
            results = await self._delete_page([Key(user_id, memory.id) for memory in page], deadline)
            deleted += len(results)
            pending += sum(result.outcome is Outcome.PENDING for result in results)

    async def _delete_page(self, keys: Sequence[Key], deadline: Deadline) -> list[PersistenceResult]:
        deletes = [MemoryDelete(*key, uuid.uuid4(), bucket(*key)) for key in keys]
        tracking = self._writer.tracking(deadline)
        receipts = await self._truth.change(lambda: self._truth.store.delete_many(deletes, tracking), deadline)
        changes = [
            (i, Change(delete.key, delete.write_id, receipt, deletion(delete.key, receipt.version or 0)))
            for i, (delete, receipt) in enumerate(zip(deletes, receipts, strict=True))
            if receipt.status is Written.WRITTEN
        ]
        if self._graph.role is GraphRole.DISABLED:
            outcome = Outcome.PENDING if any(c.receipt.tracked for _, c in changes) else Outcome.IN_STEP
            return [change.result(outcome, StorageStatus.DISABLED) for _, change in changes]
        return [result for _, result in await self._outcomes(changes, deadline)]


class _Run:
    """What one bulk call has been told so far."""

    def __init__(self, total: int, progress: OnProgress | None) -> None:
        self.results: dict[int, PersistenceResult] = {}
        self._total = total
        self._progress = progress
        self._started = time.perf_counter()

    def acknowledge(self, positions: Sequence[int], results: Sequence[PersistenceResult]) -> None:
        self.results.update(zip(positions, results, strict=True))
        if self._progress:
            self._progress(Progress(len(self.results), self._total))

    def complete(self, drafts: Sequence[MemoryDraft], chosen: Sequence[int]) -> list[PersistenceResult]:
        elapsed = (time.perf_counter() - self._started) * 1000
        winners = {Key(drafts[i].user_id, drafts[i].id or ""): self.results[i] for i in chosen if drafts[i].id}
        answers = []
        for position, draft in enumerate(drafts):
            result = self.results.get(position)
            if result is None:
                winner = winners[Key(draft.user_id, draft.id or "")]
                result = replace(winner, outcome=Outcome.SUPERSEDED, changed=False)
            answers.append(replace(result, duration_ms=elapsed))
        return answers


def _last_of_each(drafts: Sequence[MemoryDraft]) -> list[int]:
    last = {(draft.user_id, draft.id): position for position, draft in enumerate(drafts) if draft.id is not None}
    return [i for i, draft in enumerate(drafts) if draft.id is None or last[draft.user_id, draft.id] == i]


def _changes(
    positions: Sequence[int],
    prepared: Sequence[Prepared],
    receipts: Sequence[WriteReceipt],
    answers: Sequence[PersistenceResult],
) -> list[tuple[int, Change]]:
    return [
        (i, Change(one.write.key, one.write.write_id, receipt, one.graph_write(receipt), one, answer.memory))
        for i, one, receipt, answer in zip(positions, prepared, receipts, answers, strict=True)
        if receipt.status is Written.WRITTEN
    ]


def _so_far(prepared: Prepared, receipt: WriteReceipt, role: GraphRole) -> PersistenceResult:
    """Return the answer as far as truth goes: a write is pending until the graph has it."""
    write, written = prepared.write, receipt.status is Written.WRITTEN
    disabled = role is GraphRole.DISABLED
    status = StorageStatus.DISABLED if disabled else StorageStatus.PENDING if written else StorageStatus.OK
    behind = written and (receipt.tracked or not disabled)
    return PersistenceResult(
        write.id,
        write.user_id,
        Outcome.PENDING if behind else Outcome.IN_STEP,
        receipt.version,
        prepared.memory(receipt) if written else None,
        status,
        changed=written,
    )


@asynccontextmanager
async def _ahead(
    prepare: Callable[[Sequence[int]], Coroutine[Any, Any, Sequence[Prepared]]], batches: Sequence[Sequence[int]]
) -> AsyncIterator[AsyncIterator[tuple[Sequence[int], Sequence[Prepared]]]]:
    """Prepare each batch while the one before it is being written."""
    pending: set[asyncio.Task[Sequence[Prepared]]] = set()

    def begin(batch: Sequence[int]) -> asyncio.Task[Sequence[Prepared]]:
        task: asyncio.Task[Sequence[Prepared]] = asyncio.create_task(prepare(batch))
        pending.add(task)
        task.add_done_callback(pending.discard)
        return task

    async def each() -> AsyncIterator[tuple[Sequence[int], Sequence[Prepared]]]:
        task = begin(batches[0]) if batches else None
        for batch, following in itertools.zip_longest(batches, batches[1:]):
            if task is None:
                return
            ready = await task
            task = begin(following) if following else None
            yield batch, ready

    try:
        yield each()
    finally:
        for task in set(pending):
            task.cancel()
        if pending:
            await asyncio.wait(set(pending))
