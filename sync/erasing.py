"""Erasure on request: a tenant, or one memory of it, goes everywhere; and what remains where is said.

    report = await erase(memories, "ada")

Memories are deleted as ever: truth first, with a tombstone and an outbox entry each, then the graph. Behind them go the
records of checks and repairs that name them. What remains is the tombstones, which hold a tenant's and a memory's name
and no content, and are collected when no stale writer can be alive any more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from persistence.errors import GraphStoreError, RunConflictError
from persistence.gates import GraphRole
from persistence.log import get_logger
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Run, RunQuery
from persistence.ports.vector import VectorStore
from persistence.records import Record, validated
from persistence.retry import Deadline
from persistence.service import AsyncPersistenceService
from persistence.text import Name
from sync.service import AsyncSyncService

log = get_logger("erase")

#: Rows that are looked at or removed at once, and seconds for that.
_PAGE, _SECONDS = 500, 120.0
#: Tombstones are counted up to this.
_COUNTED = 100_000


class _Asked(Record):
    user_id: Name
    memory_id: Name | None = None


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What was erased, and what remains.

    ``pending``: deletes that the graph has not heard of yet; the relay brings them. ``found``, ``runs``: recorded
    inconsistencies and runs that were removed. ``kept_runs``: runs that name what was erased and are under way.
    ``graph_unreached``: what the graph has of the tenant that truth knows nothing of could not be looked for.
    ``tombstones``: names without content that stay until they are collected, counted up to 100,000.
    """

    user_id: str
    memory_id: str | None
    deleted: int
    pending: int
    found: int
    runs: int
    kept_runs: int
    tombstones: int
    graph_unreached: bool
    duration_ms: float


async def erase(memories: AsyncPersistenceService, user_id: str, memory_id: str | None = None) -> ErasureReport:
    """Erase a tenant, or one of its memories, from both stores and from the records of runs. Can be repeated.

    Raises InvalidInputError, VectorStoreError, OutcomeUnknownError; the same call takes up what is left.
    """
    asked = validated(_Asked, {"user_id": user_id, "memory_id": memory_id})
    began = time.perf_counter()
    deleted, pending = await _delete(memories, asked)
    erasing = _Erasing(memories, asked)
    found = await erasing.found()
    runs, _ = await erasing.runs()
    unreached = await erasing.graph()
    await erasing.found()  # what the look at the graph has left
    _, kept = await erasing.runs()
    return ErasureReport(
        user_id=user_id,
        memory_id=memory_id,
        deleted=deleted,
        pending=pending,
        found=found,
        runs=runs,
        kept_runs=kept,
        tombstones=await erasing.tombstones(),
        graph_unreached=unreached,
        duration_ms=(time.perf_counter() - began) * 1_000,
    )


async def _delete(memories: AsyncPersistenceService, asked: _Asked) -> tuple[int, int]:
    if asked.memory_id is None:
        done = await memories.delete_all(user_id=asked.user_id)
        return done.deleted, done.pending
    one = await memories.delete(asked.memory_id, user_id=asked.user_id)
    return int(one.changed), int(one.changed and one.outcome.value == "pending")


@dataclass(frozen=True, slots=True)
class _Erasing:
    """The records beside the truth, as far as they name what is erased."""

    memories: AsyncPersistenceService
    asked: _Asked

    @property
    def _store(self) -> VectorStore:
        return self.memories.parts.truth.store

    async def graph(self) -> bool:
        """Delete what the graph has of the tenant and truth has not; return whether it could not be looked for.

        By the rule of orphans, each at the version that was seen: what somebody stores meanwhile stays.
        """
        if self.memories.parts.graph.role is not GraphRole.REGISTERED or self.asked.memory_id is not None:
            return False
        repair = AsyncSyncService(self.memories).repair_inconsistencies
        try:
            done = await repair(Depth.STRUCTURE, user_id=self.asked.user_id, dry_run=False, force=True)
        except (GraphStoreError, RunConflictError) as error:
            log.warning("The graph could not be looked through.", action="erase", reason=error.message)
            return True
        return not done.check.complete or done.failed > 0

    async def found(self) -> int:
        """Remove recorded inconsistencies."""
        removed, store, asked = 0, self._store, self.asked
        remove = lambda: store.remove_found(asked.user_id, asked.memory_id, limit=_PAGE)  # noqa: E731  # until none is left
        while some := await self.memories.parts.truth.change(remove, Deadline(_SECONDS)):
            removed += some
        return removed

    async def runs(self) -> tuple[int, int]:
        """Remove the runs that name what is erased; return how many, and how many are under way and stay."""
        removed = named = 0
        async for page in self._pages():
            ids = [run.id for run in page if names(run, self.asked.user_id, self.asked.memory_id)]
            named += len(ids)
            removed += await self._remove(ids)
        return removed, named - removed

    async def _remove(self, ids: Sequence[Any]) -> int:
        if not ids:
            return 0
        store = self._store
        return await self.memories.parts.truth.change(lambda: store.remove_runs(ids), Deadline(_SECONDS))

    async def _pages(self) -> AsyncIterator[list[Run]]:
        before, store = None, self._store
        page = lambda: store.runs(RunQuery(), before=before, limit=_PAGE)  # noqa: E731  # asked until empty
        while found := await self.memories.parts.truth.read(page, Deadline(_SECONDS)):
            before = found[-1].id
            yield found

    async def tombstones(self) -> int:
        """Count what remains in truth."""
        user_id, store = self.asked.user_id, self._store
        if self.asked.memory_id is not None:
            key = Key(user_id, self.asked.memory_id)
            there = await self.memories.parts.truth.read(lambda: store.read([key]), Deadline(_SECONDS))
            return len(there)
        counted, after = 0, None
        page = lambda: store.tombstones(user_id, after=after, limit=_PAGE)  # noqa: E731  # asked until empty
        while counted < _COUNTED and (found := await self.memories.parts.truth.read(page, Deadline(_SECONDS))):
            counted, after = counted + len(found), Key(user_id, found[-1].id)
        return counted


def names(run: Run, user_id: str, memory_id: str | None) -> bool:
    """Say whether a run names a tenant, or one memory of it: as its own, in its request, its cursor or its report."""
    said = [run.request, run.cursor, run.report]
    if memory_id is None:
        return run.user_id == user_id or _says(said, user_id)
    return (run.user_id == user_id or _says(said, user_id)) and _says(said, memory_id)


def _says(said: Any, name: str) -> bool:
    """Say whether a name stands anywhere in JSON, as a value or as a key."""
    if isinstance(said, str):
        return said == name
    if isinstance(said, Mapping):
        return name in said or any(_says(value, name) for value in said.values())
    if isinstance(said, Sequence):
        return any(_says(value, name) for value in said)
    return False
