"""The relay: works the outbox off, so that every memory in doubt comes in step (design section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from persistence.drafting import deletion, rewrite
from persistence.errors import (
    GraphUnavailableError,
    GraphWriteExpiredError,
    PersistenceError,
    VersionConflictError,
)
from persistence.follower import graph_write
from persistence.gates import PROBE_TIME, GraphGate, TruthGate
from persistence.log import get_logger
from persistence.ports.graph import GraphAck, GraphWrite, Verdict
from persistence.ports.observer import UNOBSERVED, Observer, RelayBatch
from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.ports.vector import MemoryDelete, Tombstone, Tracking, Truth
from persistence.retry import Deadline, backoff
from persistence.settings import PersistenceConfig
from persistence.watching import Watching

log = get_logger("relay")

#: Seconds for which claimed entries are ours; whoever claims them after that does no harm.
LEASE = 60.0
#: What an entry says that was given back because its relay was told to stop.
STOPPED = "The relay was stopped while it was at it."
#: Seconds for one read or write of truth, and for one batch in the graph.
TRUTH_TIME = 30.0
GRAPH_TIME = 30.0
#: What was read of truth is written within this share of a tombstone's age: the graph may take as long again over it.
FRESH_SHARE = 0.25
#: Seconds between two collections of old tombstones.
COLLECT_EVERY = 60.0

#: For entries that are the relay's from the beginning.
AT_ONCE = Tracking(graph=True, lease=0.0)

#: What is nobody's fault. A conflict that outlasts the retries is one entry's, which has to be found.
OUTAGES = (GraphUnavailableError, GraphWriteExpiredError)


@dataclass(frozen=True, slots=True)
class RelayReport:
    """What a run of the relay did: entries brought in step, attempts that failed, entries dead and pending now."""

    applied: int
    failed: int
    dead: int
    pending: int


@dataclass(frozen=True, slots=True)
class _Job:
    """One entry, what truth says of its memory, and for how long that may be told to the graph."""

    entry: OutboxEntry
    write: GraphWrite
    truth: Truth
    batch: RelayBatch
    fresh: Deadline

    @property
    def settlement(self) -> Settlement:
        return Settlement(self.entry.user_id, self.entry.id, self.entry.entry_id, self.entry.version)


class Relay:
    """Takes due entries, re-reads truth, brings the graph up to it, settles. Any number may run at once."""

    def __init__(
        self, truth: TruthGate, graph: GraphGate, config: PersistenceConfig, observer: Observer = UNOBSERVED
    ) -> None:
        self._observer = observer
        self._truth = truth
        self._graph = graph
        self._config = config
        self._wake = asyncio.Event()
        self._most = config.relay_batch
        self._collected_at = time.monotonic()
        self.applied = 0
        self.failed = 0

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    # --- running ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. Nothing that a store does ends it."""
        while True:
            self._wake.clear()
            try:
                busy = await self._turn()
            except PersistenceError as error:
                log.warning("The relay could not work and will try again.", action="relay", reason=error.message)
                busy = False
            if not busy:
                await self._rest()

    async def run_collection(self) -> None:
        """Only collect old tombstones, for a truth that has no graph, until cancelled."""
        while True:
            await asyncio.sleep(COLLECT_EVERY)
            try:
                await self._collect_truth(await self._tombstones_due())
            except PersistenceError as error:
                log.warning("Tombstones could not be collected.", action="collect", reason=error.message)

    async def drain(self, progress: Callable[[RelayReport], None] | None = None) -> RelayReport:
        """Work until nothing is pending that can be worked off now, or the graph is out of reach."""
        while True:
            if not await self._reachable():
                break
            if not await self.work():
                wait = await self._truth.read(self._truth.store.next_due, Deadline(TRUTH_TIME))
                if wait is None:
                    break
                await asyncio.sleep(min(max(wait, 0.01), self._config.relay_interval))
            if progress:
                progress(await self.report())
        return await self.report()

    async def report(self) -> RelayReport:
        """Return what was done since the start, and what there is to do."""
        stats = await self._truth.read(self._truth.store.outbox_stats, Deadline(TRUTH_TIME))
        return RelayReport(self.applied, self.failed, stats.dead, stats.pending)

    async def _turn(self) -> bool:
        if not await self._reachable():
            return False
        if time.monotonic() - self._collected_at > COLLECT_EVERY:
            self._collected_at = time.monotonic()
            await self.collect()
        return await self.work() > 0

    async def _rest(self) -> None:
        wait = self._graph.breaker.probe_in()
        if wait is not None:
            await asyncio.sleep(max(wait, 0.01))
            return
        # Not `wait_for`: that of Python 3.11 forgets a cancellation that comes together with what is waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.relay_interval):
                await self._wake.wait()

    async def _reachable(self) -> bool:
        """Where the breaker is open, probe when it is time to; nothing is claimed for a graph that is away."""
        if self._graph.breaker.probe_in() is None:
            return self._graph.ready or await self._graph.probe(PROBE_TIME)
        return self._graph.breaker.claim_probe() and await self._graph.probe(PROBE_TIME)

    # --- one batch --------------------------------------------------------------------------------------------

    async def work(self) -> int:
        """Take one batch of due entries to its end; return how many there were."""
        store = self._truth.store
        entries = await self._truth.change(lambda: store.claim(limit=self._most, lease=LEASE), Deadline(TRUTH_TIME))
        if entries:
            await self.take(entries)
        return len(entries)

    async def take(self, entries: Sequence[OutboxEntry]) -> set[Key]:
        """Take entries that the caller has claimed to their end; return the memories that are in step now.

        Of the others some are listed again, at a higher version: truth had to be raised above the graph. Where it is
        cancelled, the claims are given back.
        """
        batch = RelayBatch(len(entries))
        try:
            with Watching(self._observer, batch):
                return await self._take(entries, batch)
        except asyncio.CancelledError:
            self._hand_back(entries)
            raise

    def _hand_back(self, entries: Sequence[OutboxEntry]) -> None:
        """Let others take these entries now, instead of after the lease; those that are done are not ours any more."""
        back = [_postponed(entry, 0.0, entry.reason or STOPPED, give_back=True) for entry in entries]
        self._truth.later(lambda: self._truth.store.postpone(back), TRUTH_TIME)

    async def _take(self, entries: Sequence[OutboxEntry], batch: RelayBatch) -> set[Key]:
        jobs = await self._jobs(entries, batch)
        for job in jobs:
            if _projected_otherwise(job):
                await self._raise_truth(job, above=0)
        return await self._bring_up([job for job in jobs if not _projected_otherwise(job)])

    async def _jobs(self, entries: Sequence[OutboxEntry], batch: RelayBatch) -> list[_Job]:
        """Read what truth is now: the order in which entries were made does not matter.

        A process may be stopped at any point, so what was read is fresh for a time only (see ``fresh_time``).
        """
        keys, fresh = [entry.key for entry in entries], Deadline(fresh_time(self._config))
        there = await self._truth.read(lambda: self._truth.store.read(keys), Deadline(TRUTH_TIME))
        return await anyio.to_thread.run_sync(
            lambda: [_job(entry, there.get(entry.key, Truth()), batch, fresh) for entry in entries]
        )

    async def _bring_up(self, jobs: Sequence[_Job]) -> set[Key]:
        if not jobs:
            return set()
        seconds = min(GRAPH_TIME, *(job.fresh.remaining() for job in jobs))
        if not seconds:
            await self._give_back(jobs, GraphWriteExpiredError())
            return set()
        try:
            acks = await self._graph.apply([job.write for job in jobs], seconds)
        except OUTAGES as error:
            await self._give_back(jobs, error)
            return set()
        except PersistenceError as error:
            return await self._isolate(jobs, error)
        return await self._conclude(jobs, acks)

    async def _isolate(self, jobs: Sequence[_Job], error: PersistenceError) -> set[Key]:
        """Split a batch that failed until what fails stands alone; that one's attempt counts."""
        if len(jobs) > 1:
            middle = len(jobs) // 2
            return await self._bring_up(jobs[:middle]) | await self._bring_up(jobs[middle:])
        await self._failed(jobs[0], error)
        return set()

    async def _failed(self, job: _Job, error: PersistenceError) -> None:
        dead = job.entry.attempts >= self._config.relay_attempts
        self.failed += 1
        job.batch.failed += 1
        job.batch.dead += dead
        delay = backoff(job.entry.attempts, self._config.relay_backoff, self._config.relay_backoff_max)
        if dead:
            log.error(
                "An entry of the outbox is dead.", action="dead_letter", memory_id=job.entry.id, reason=error.message
            )
        await self._postpone([_postponed(job.entry, delay, error.message, dead=dead)])

    async def _give_back(self, jobs: Sequence[_Job], error: PersistenceError) -> None:
        """Put a batch back uncounted: an outage makes no dead entries. The next one is half as large.

        A graph that has just been started may be too slow for a large one, each time again.
        """
        self._most = max(1, len(jobs) // 2)
        self.failed += len(jobs)
        jobs[0].batch.failed += len(jobs)
        delay = backoff(1, self._config.relay_backoff, self._config.relay_backoff_max)
        await self._postpone([_postponed(job.entry, delay, error.message, give_back=True) for job in jobs])

    async def _postpone(self, postponed: Sequence[Postponement]) -> None:
        await self._truth.change(lambda: self._truth.store.postpone(postponed), Deadline(TRUTH_TIME))

    async def _conclude(self, jobs: Sequence[_Job], acks: Sequence[GraphAck]) -> set[Key]:
        done = [job for job, ack in zip(jobs, acks, strict=True) if ack.verdict is not Verdict.NEWER]
        ahead = [(job, ack.version) for job, ack in zip(jobs, acks, strict=True) if ack.verdict is Verdict.NEWER]
        settlements = sorted(job.settlement for job in done)
        if settlements:
            await self._truth.change(lambda: self._truth.store.settle(settlements), Deadline(TRUTH_TIME))
        self._most = min(self._most + self._most // 4 + 1, self._config.relay_batch)
        self.applied += len(done)
        jobs[0].batch.applied += len(done)
        in_step = {job.entry.key for job in done}
        for job, version in ahead:
            in_step |= await self._ahead(job, version)
        return in_step

    # --- a graph ahead of truth -------------------------------------------------------------------------------

    async def _ahead(self, job: _Job, seen: int) -> set[Key]:
        """Someone wrote since (their entry is in the outbox), or truth is an old copy and has to go above ``seen``.

        Where truth knows nothing of the memory, there is nothing to raise: it goes at the version that was seen.
        """
        key = job.entry.key
        there = await self._truth.read(lambda: self._truth.store.read([key]), Deadline(TRUTH_TIME))
        now = there.get(key, Truth())
        if now.version is None and job.truth.version is None:
            return await self._bring_up([replace(job, write=replace(job.write, version=seen))])
        if now.version == job.write.version:
            log.warning("The graph is ahead of truth; truth is written anew above it.", action="graph_ahead")
            await self._raise_truth(job, seen)
        return set()

    async def _raise_truth(self, job: _Job, above: int) -> None:
        """Give a memory, or a tombstone, a higher version with the content it has; the new entry is due at once."""
        store, key, version = self._truth.store, job.entry.key, job.write.version
        if job.truth.memory is not None:
            await self.renew(key, version, above=above)
            return
        delete = MemoryDelete(*key, uuid.uuid4(), job.write.bucket, version, above=above)
        with contextlib.suppress(VersionConflictError):  # someone wrote meanwhile, and their entry is listed
            await self._truth.change(lambda: store.delete_many([delete], AT_ONCE), Deadline(TRUTH_TIME))

    async def renew(self, key: Key, version: int, *, above: int = 0) -> None:
        """Give a memory that still is at ``version`` a higher one with the content it has, and so an entry of its own.

        What was about to settle the entry that is there misses it then.
        """
        store, deadline = self._truth.store, Deadline(TRUTH_TIME)
        there = await self._truth.read(lambda: store.read([key], embeddings=True), deadline)
        if memory := there.get(key, Truth()).memory:
            write = rewrite(memory, version, above).write
            with contextlib.suppress(VersionConflictError):  # as above
                await self._truth.change(lambda: store.write(write, AT_ONCE), deadline)

    # --- tombstones -------------------------------------------------------------------------------------------

    async def collect(self) -> int:
        """Remove one page of tombstones that no stale writer can need any more: the graph's first, then truth's."""
        due = await self._tombstones_due()
        if due:
            await self._graph.ask(lambda graph: graph.collect(due), Deadline(GRAPH_TIME))
        return await self._collect_truth(due)

    async def _tombstones_due(self) -> list[Tombstone]:
        age, limit = self._config.tombstone_age, self._config.relay_batch
        store = self._truth.store
        return await self._truth.read(lambda: store.tombstones_due(age=age, limit=limit), Deadline(TRUTH_TIME))

    async def _collect_truth(self, due: Sequence[Tombstone]) -> int:
        if not due:
            return 0
        return await self._truth.change(lambda: self._truth.store.collect_tombstones(due), Deadline(TRUTH_TIME))


def fresh_time(config: PersistenceConfig) -> float:
    """Return for how many seconds what was read of truth may be written into the graph.

    A process that slept longer, between its read and its write, would bring back what was deleted meanwhile and whose
    tombstone is gone.
    """
    return config.tombstone_age * FRESH_SHARE


def _job(entry: OutboxEntry, truth: Truth, batch: RelayBatch, fresh: Deadline) -> _Job:
    if truth.memory is not None:
        return _Job(entry, graph_write(truth.memory, force=entry.forced), truth, batch, fresh)
    # Neither a memory nor a tombstone: truth lost it, so the graph must not have it either.
    version = truth.tombstone.version if truth.tombstone else entry.version
    write = replace(deletion(Key(entry.user_id, entry.id), version), force=entry.forced)
    return _Job(entry, write, truth, batch, fresh)


def _projected_otherwise(job: _Job) -> bool:
    """Say whether this code projects the memory otherwise than the code that wrote it: one version, one content."""
    fragment, memory = job.write.fragment, job.truth.memory
    return memory is not None and fragment is not None and fragment.digest != memory.digest


def _postponed(
    entry: OutboxEntry, delay: float, reason: str, *, give_back: bool = False, dead: bool = False
) -> Postponement:
    return Postponement(
        entry.user_id, entry.id, entry.entry_id, entry.claim, delay, reason, give_back=give_back, dead=dead
    )
