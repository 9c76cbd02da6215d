"""Bringing a backup into a truth: by version, so that nothing newer gives way; the graph is projected anew."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persistence.assembly import CLOSE_TIME
from persistence.bounded import Calls
from persistence.errors import BackupPassphraseError, EmbeddingMismatchError
from persistence.gates import TruthGate
from persistence.ports.checking import Head
from persistence.ports.vector import StoreInfo, Tracking, Transferred, VectorStore
from persistence.retry import Deadline, Retry
from persistence.settings import PersistenceConfig
from sync.backing.chains import Link, chain, found
from sync.backing.former import ordered
from sync.backing.making import BATCH, OnCount
from sync.backing.manifest import Section
from sync.backing.model import RestoreReport
from sync.backing.shelf import Shelf
from sync.backing.threads import each, in_thread


async def restore(
    store: VectorStore,
    path: Path,
    *,
    passphrase: str | None = None,
    dry_run: bool = False,
    graph: bool = False,
    config: PersistenceConfig | None = None,
    progress: OnCount = lambda _done, _total: None,
) -> RestoreReport:
    """Bring a backup (the newest one of a folder of them) into an open truth, empty or not.

    Each memory and tombstone is written where the truth has none of its key, or an older one; so the same call can be
    repeated, also after it was killed. All of the chain's bytes are checked before anything is written. ``graph``: this
    process has a graph, for which everything that is written is listed; a truth that knows one lists it in any case.
    ``dry_run``: say what would be written.

    Raises BackupError, BackupDamagedError, BackupPassphraseError, EmbeddingMismatchError before anything is written;
    VectorStoreError.
    """
    config = config or PersistenceConfig.load()
    async with AsyncExitStack() as stack:
        folder = await in_thread(lambda: found(path))
        stack.enter_context(Shelf(folder.absolute().parent).held(alone=False))
        links = await in_thread(lambda: _checked(folder.absolute(), passphrase))
        _suits(links[-1], await store.info())
        calls = Calls()
        stack.push_async_callback(calls.close, CLOSE_TIME)
        gate = TruthGate(store, calls, Retry(config.retry_attempts, config.retry_delay))
        return await _Restoring(gate, links, graph, config, progress).done(dry_run=dry_run)


def _checked(folder: Path, passphrase: str | None) -> list[Link]:
    links = chain(folder, passphrase)
    if passphrase and links[-1].keys is None:
        # An encrypted one has a seal; where that is relied on, whoever writes to the folder could leave it out.
        raise BackupPassphraseError(
            f"A passphrase was given, and {folder} is not encrypted: whoever can write there may have made it.",
            hint="give no passphrase, if it is to be restored all the same",
        )
    for link in links:
        link.check()
    return links


def _suits(link: Link, info: StoreInfo) -> None:
    said = link.manifest.store
    if (said.model, said.dimension) != (info.embedding_model, info.dimension):
        raise EmbeddingMismatchError(
            f"The backup holds embeddings of {said.model!r} with {said.dimension} dimensions, the vector store of"
            f" {info.embedding_model!r} with {info.dimension}.",
            hint="restore into a store for the same model",
        )


@dataclass(slots=True)
class _Compared:
    """How the live memories of a backup stand in the truth."""

    same: int = 0
    newer: int = 0
    older: int = 0
    absent: int = 0
    otherwise: int = 0

    def count(self, head: Head, version: int | None, digest: int | None) -> None:
        if version is None:
            self.absent += 1
        elif version > head.version:
            self.newer += 1
        elif version < head.version:
            self.older += 1
        elif digest == head.digest:
            self.same += 1
        else:
            self.otherwise += 1


@dataclass(slots=True)
class _Restoring:
    """One call of ``restore``."""

    gate: TruthGate
    links: list[Link]
    graph: bool
    config: PersistenceConfig
    progress: OnCount
    written: int = 0
    left: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.perf_counter)

    @property
    def newest(self) -> Link:
        """The backup that was asked for."""
        return self.links[-1]

    async def done(self, *, dry_run: bool) -> RestoreReport:
        """Compare, bring, compare again."""
        plan = await self._compared()
        if dry_run:
            return self._report(plan, plan, dry_run=True)
        await self._raise_floor()
        await self.gate.store.begin_load()
        for link in self.links:
            await self._bring(link)
        await self.gate.store.end_load()
        return self._report(plan, await self._compared(), dry_run=False)

    # --- what is there ------------------------------------------------------------------------------------------------

    async def _compared(self) -> _Compared:
        compared = _Compared()
        async with aclosing(each(_cut(ordered(self.newest)))) as batches:
            async for heads in batches:
                await self._look(heads, compared)
        return compared

    async def _look(self, heads: Sequence[Head], compared: _Compared) -> None:
        store, keys = self.gate.store, [head.key for head in heads]
        there = await self.gate.read(lambda: store.standings(keys), self._deadline())
        for head in heads:
            standing = there[head.key]
            compared.count(head, standing.version, standing.digest)

    def _deadline(self) -> Deadline:
        return Deadline(self.config.sync_timeout)

    # --- bringing -----------------------------------------------------------------------------------------------------

    async def _raise_floor(self) -> None:
        """Give out no version again that this backup has, whatever the clock says."""
        store, manifest = self.gate.store, self.newest.manifest
        floor = max(manifest.store.floor, manifest.newest or 0)
        await self.gate.change(lambda: store.raise_floor(floor), self._deadline())

    async def _bring(self, link: Link) -> None:
        total = sum(one.manifest.counts[Section.MEMORIES] for one in self.links)
        for section in (Section.MEMORIES, Section.TOMBSTONES):
            async with aclosing(each(_batches(link, section))) as batches:
                async for batch in batches:
                    await self._transfer(section, batch)
                    self.progress(min(self.written + self.left, total), total)

    async def _transfer(self, section: Section, batch: Sequence[Any]) -> None:
        store, tracking = self.gate.store, Tracking(graph=self.graph, lease=0.0)
        memories, stones = (batch, ()) if section is Section.MEMORIES else ((), batch)
        done: Transferred = await self.gate.change(lambda: store.transfer(memories, stones, tracking), self._deadline())
        self.written += len(done.written)
        self.left += len(done.left)

    # --- the report ---------------------------------------------------------------------------------------------------

    def _report(self, plan: _Compared, last: _Compared, *, dry_run: bool) -> RestoreReport:
        wrong = 0 if dry_run else last.older + last.absent
        return RestoreReport(
            name=self.newest.folder.name,
            chain=tuple(link.folder.name for link in self.links),
            dry_run=dry_run,
            live=self.newest.manifest.live,
            planned=plan.older + plan.absent,
            written=self.written,
            left=self.left,
            same=last.same,
            newer=last.newer,
            wrong=wrong + last.otherwise,
            pending=self.written if self.graph else 0,
            floor=max(self.newest.manifest.store.floor, self.newest.manifest.newest or 0),
            started_at=self.started_at,
            duration_ms=(time.perf_counter() - self.began) * 1_000,
        )


def _batches(link: Link, section: Section) -> Iterator[list[Any]]:
    return _cut(row for page in link.pages(section) for row in page)


def _cut(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield rows in batches of one transaction."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
