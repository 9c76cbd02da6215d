"""The rebuild: writes the graph anew from truth, online, page by page, and sweeps what truth does not have.

Each page is written at the versions that truth has, stamped with the rebuild's generation, in one transaction; live
writes go on, and their versions win. What carries no stamp at the end was either written meanwhile, and then truth has
it, or is an orphan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio.to_thread

from persistence.errors import GraphStoreError, GraphUnavailableError, GraphWriteExpiredError
from persistence.follower import graph_write
from persistence.ports.checking import Doubt, GraphHead
from persistence.ports.graph import GraphAck, GraphStore, GraphWrite, Verdict
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind
from persistence.records import Memory
from persistence.relay import fresh_time
from persistence.retry import Deadline
from sync.compare import classify, found
from sync.confirm import confirm_loose
from sync.extract import Extraction
from sync.journal import Journal
from sync.mend import Mender
from sync.model import Scope
from sync.orphans import Orphans
from sync.pair import Pair

#: Seconds for one batch in the graph.
GRAPH_TIME = 60.0
SWEEP_PAGE = 2_000
ENTITIES_PAGE = 20_000
CLEAR_BATCH = 5_000
#: So often a graph, or this process, may take longer over a batch than its lease.
CLEAR_ATTEMPTS = 3

#: An outage interrupts a rebuild; any other error of a batch is the outbox's to narrow down.
OUTAGES = (GraphUnavailableError, GraphWriteExpiredError)


@dataclass(slots=True)
class Written:
    """What a rebuild has written so far, and where it is.

    ``bare``: the graph had no entity of this scope at the beginning, so nothing can hang loose. None: not asked yet.
    """

    generation: int
    phase: str = "walk"
    bare: bool | None = None
    after: list[str] | None = None
    memories: int = 0
    edges: int = 0
    removed: int = 0
    pending: int = 0
    extracted: int = 0
    orphans: dict[str, int] = field(default_factory=dict)

    def saved(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Page:
    """A page of truth and what the graph is told of it. ``otherwise``: memories that this code projects otherwise.

    ``fresh``: until when it may be told so (see ``fresh_time``).
    """

    fresh: Deadline
    last: Key
    writes: list[GraphWrite]
    otherwise: list[Doubt]


@dataclass(slots=True)
class Rebuild:
    """One rebuild under way. ``emptied``: its tenant's graph is emptied first."""

    pair: Pair
    scope: Scope
    journal: Journal
    orphans: Orphans
    written: Written
    batch: int
    extraction: Extraction | None
    emptied: bool
    progress: Callable[[str, int], None]

    async def run(self) -> None:
        """Go through what is left of the phases."""
        if self.written.bare is None:
            counts = await self.pair.graph(lambda store: store.counts(self.scope.user_id))
            self.written.bare = counts.entities == 0
        phases: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "clear": self._clear,
            "walk": self._walk,
            "sweep": self._sweep,
            "orphans": self._delete_orphans,
            "entities": self._entities,
        }
        names = list(phases)
        for name in names[names.index(self.written.phase) :]:
            if self.written.phase != name:
                self.written.phase, self.written.after = name, None
                await self._checkpoint()
            await phases[name]()

    async def _checkpoint(self) -> None:
        self.written.orphans = self.orphans.numbers
        await self.journal.checkpoint(self.written.saved(), now=True)

    # --- clear --------------------------------------------------------------------------------------------------

    async def _clear(self) -> None:
        """Empty the tenant; every memory keeps its version, so nothing old can come back meanwhile.

        No version tells who may empty what another rebuild has filled since. So each batch asks for the lease first,
        and the graph refuses it once that could be another's.
        """
        gone = late = 0
        while True:
            await self._checkpoint()
            try:
                cleared = await self.pair.graph(self._clear_some)
            except GraphWriteExpiredError:
                late += 1
                if late == CLEAR_ATTEMPTS:
                    raise
                continue
            if not cleared:
                return
            await self.pair.throttle.rows(cleared)
            gone += cleared
            self.progress("clear", gone)

    async def _clear_some(self, store: GraphStore) -> int:
        return await store.clear(self.scope.user_id or "", limit=CLEAR_BATCH, timeout=self.journal.held_for())

    # --- walk ---------------------------------------------------------------------------------------------------

    async def _walk(self) -> None:
        """Write page k while page k+1 is read and projected."""
        ahead = asyncio.create_task(self._read(self._after()))
        try:
            while page := await ahead:
                await self.pair.throttle.rows(len(page.writes))
                if not page.fresh.remaining():
                    # This process slept meanwhile: what the page says may be older than a tombstone gets.
                    ahead = asyncio.create_task(self._read(self._after()))
                    continue
                ahead = asyncio.create_task(self._read(page.last))
                await self._write(page)
                self.written.after = list(page.last)
                await self._checkpoint()
                self.progress("walk", self.written.memories)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    def _after(self) -> Key | None:
        return Key(*self.written.after) if self.written.after else None

    async def _read(self, after: Key | None) -> _Page | None:
        user_id, limit, anew = self.scope.user_id, self.batch, self.extraction is not None
        fresh = Deadline(fresh_time(self.pair.parts.config))
        memories = await self.pair.truth(lambda store: store.walk(user_id, after=after, limit=limit, embeddings=anew))
        if not memories:
            return None
        if self.extraction is not None:
            memories, written = await self.extraction.renewed(memories)
            self.written.extracted += written
        return await anyio.to_thread.run_sync(_page, memories, self.written.generation, fresh)

    async def _write(self, page: _Page) -> None:
        behind = page.otherwise + await self._apply(page.writes, page.fresh)
        left = await Mender(self.pair).bring_up(behind, emptied=self.emptied) if behind else set()
        self.written.pending += len(left)
        self.written.memories += len(page.writes) + len(page.otherwise)
        self.written.edges += sum(_edges(write) for write in page.writes)

    async def _apply(self, writes: Sequence[GraphWrite], fresh: Deadline) -> list[Doubt]:
        """Write a batch in one transaction; return what has to go through the outbox instead."""
        seconds = min(GRAPH_TIME, fresh.remaining())
        if not writes:
            return []
        if not seconds:
            raise GraphWriteExpiredError
        try:
            acks: Sequence[GraphAck] = await self.pair.parts.graph.apply(writes, seconds)
        except OUTAGES:
            raise
        except GraphStoreError:
            return [_doubt(write) for write in writes]
        return [_doubt(write) for write, ack in zip(writes, acks, strict=True) if ack.verdict is Verdict.NEWER]

    # --- sweep --------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Find the memories that no page has written and truth does not have."""
        user_id, generation = self.scope.user_id, self.written.generation
        after = self._after()
        while True:
            page, after = await self.pair.graph(
                lambda store, after=after: store.unstamped(user_id, generation, after=after, limit=SWEEP_PAGE)  # type: ignore[misc]  # mypy does not infer a default
            )
            drift = await self._orphaned(dict(page))
            await self.journal.record(drift)
            self.orphans.count(drift)
            if after is None:
                return
            self.written.after = list(after)
            await self._checkpoint()

    async def _orphaned(self, heads: dict[Key, GraphHead]) -> list[Inconsistency]:
        """Return what truth does not have, by the order of reads that confirms a drift."""
        before = await self.pair.truth(lambda store: store.standings(list(heads)))
        suspects = [key for key, standing in before.items() if not standing.live and not standing.pending]
        if not suspects:
            return []
        again = await self.pair.graph(lambda store: store.heads(suspects))
        after = await self.pair.truth(lambda store: store.standings(suspects))
        return [
            found(key, Kind.ORPHAN, after[key], again.get(key), Depth.QUICK)
            for key in suspects
            if after[key] == before[key] and classify(after[key], again.get(key)) is Kind.ORPHAN
        ]

    async def _delete_orphans(self) -> None:
        await self.orphans.judge()
        if self.orphans.total == self.orphans.left:
            return
        async with aclosing(self.orphans.delete(Mender(self.pair))) as pages:
            async for outcomes in pages:
                self.written.removed += len(outcomes)
                await self.journal.resolve(list(outcomes))
                await self._checkpoint()

    async def _entities(self) -> None:
        """Remove the edges and entities that belong to nobody; where there were none before, there are none now."""
        if self.written.bare:
            return
        user_id = self.scope.user_id
        while True:
            at = self.written.after
            after = (at[0], at[1], at[2]) if at else None
            page = await self.pair.graph(
                lambda store, after=after: store.loose_ends(user_id, after=after, limit=ENTITIES_PAGE)  # type: ignore[misc]  # mypy does not infer a default
            )
            edges, entities = await confirm_loose(self.pair, page)
            if edges or entities:
                self.written.removed += await self.pair.graph(
                    lambda store, edges=edges, entities=entities: store.cut_loose(edges, entities)  # type: ignore[misc]  # mypy does not infer a default
                )
            if page.after is None:
                return
            self.written.after = list(page.after)
            await self._checkpoint()


def _page(memories: Sequence[Memory], generation: int, fresh: Deadline) -> _Page:
    writes = [(memory, graph_write(memory, force=True, generation=generation)) for memory in memories]
    otherwise = [memory for memory, write in writes if write.fragment and write.fragment.digest != memory.digest]
    skipped = {memory.id for memory in otherwise}
    last = memories[-1]
    return _Page(
        fresh,
        Key(last.user_id, last.id),
        [write for memory, write in writes if memory.id not in skipped],
        [Doubt(memory.user_id, memory.id, memory.version) for memory in otherwise],
    )


def _doubt(write: GraphWrite) -> Doubt:
    return Doubt(write.user_id, write.id, write.version)


def _edges(write: GraphWrite) -> int:
    return len(write.fragment.mentions) + len(write.fragment.edges) if write.fragment else 0
