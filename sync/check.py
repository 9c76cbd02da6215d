"""The check: what differs between both stores, found at the cost of an aggregate. It reads; it never changes.

A check goes through phases, each deeper than the one before: `scan` (sums, then rows), `edges` (what each memory's
node remembers against what is there), `entities` (edges and entities that belong to nobody), `memories` (every
property). What it finds it yields, some at a time, so that its memory stays the same however much there is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from persistence.errors import PersistenceError
from persistence.log import get_logger
from persistence.ports.capabilities import Capability
from persistence.ports.checking import EVERYTHING, EntityPage, OrphanEntity, Span, StrayEdge
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind, Run, RunKind, RunQuery, RunState
from persistence.retry import Deadline
from sync import scan
from sync.confirm import TOGETHER, confirm, confirm_closely, confirm_loose, loose
from sync.model import Scope
from sync.pair import UNREADABLE, Pair
from sync.tally import Tally
from sync.walk import unlike_memories

log = get_logger("check")

#: Memories of one answer that is summed or compared in a store; more are asked for in several spans.
AT_ONCE = 2_000_000
#: Memories whose edges one call compares; a call that finds more torn ones than this is divided.
TORN_AT_ONCE = 250_000
TORN_LIMIT = 1_000
ENTITIES_PAGE = 20_000
EDGES = (Kind.EDGE_MISSING, Kind.EDGE_UNEXPECTED)
#: Parts in a row that cannot be read before the rest is given up.
GIVE_UP = 3
#: A graph without any memory, beside a truth with more than this many, is counted, not listed.
COUNT_FROM = 1_000
#: All memories together are counted up to this, and estimated beyond.
ESTIMATED = 1_000
#: Seconds for bringing this process's own graph up to truth.
FOLLOW_TIME = 600.0


@dataclass(slots=True)
class Found:
    """What one step of a check found. ``edges`` and ``entities``: the loose ends among it, to be cut by a repair."""

    drift: list[Inconsistency]
    edges: Sequence[StrayEdge] = ()
    entities: Sequence[OrphanEntity] = ()


@dataclass(slots=True)
class Position:
    """Where a check is. ``at``: the number of a span, or the last key; ``failed``: unreadable parts in a row."""

    phase: str = "scan"
    at: Any = None
    failed: int = 0

    def saved(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"phase": self.phase, "at": list(self.at) if isinstance(self.at, tuple) else self.at}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Position:
        """Return the position that was saved."""
        at = saved["at"]
        return cls(saved["phase"], tuple(at) if isinstance(at, list) else at)


class GivenUpError(Exception):
    """Too much in a row could not be read."""


async def _at_once() -> None:
    """Go on."""


@dataclass(slots=True)
class Check:
    """One check under way. ``checkpoint`` is awaited between two steps, with nothing held."""

    pair: Pair
    scope: Scope
    depth: Depth
    tally: Tally
    started_at: datetime
    checkpoint: Callable[[], Awaitable[None]] = _at_once
    position: Position = field(default_factory=Position)
    counting: bool = False
    emptied: bool = False
    total: int | None = None
    kept: Mapping[str, Any] | None = None

    def saved(self) -> Mapping[str, Any]:
        """Return how far it is, as JSON: up to the first part that could not be read."""
        return self.kept or {"position": self.position.saved(), "tally": self.tally.saved()}

    async def findings(self, *, counting: bool = False) -> AsyncGenerator[Found]:
        """Yield what differs, confirmed. What cannot be read is counted as unknown, and nothing follows from it.

        ``counting``: where the graph holds nothing at all, count what it lacks instead of listing it.
        """
        self.counting = counting
        try:
            for phase in await self._to_do():
                async with aclosing(phase) as steps:
                    async for found in steps:
                        found.drift = await self._unlawful(found.drift)
                        self.tally.add(found.drift)
                        yield found
        except GivenUpError:
            self.tally.note("Too much could not be read; the check was given up.")

    async def _to_do(self) -> list[AsyncGenerator[Found]]:
        keys = self.scope.keys
        self._say_what_is_read()
        if not self.pair.independent and not await self._follow():
            return []
        if keys is not None:
            return [self._named_memories(keys)]
        return self._phases()

    def _say_what_is_read(self) -> None:
        for store in (self.pair.parts.truth.store, self.pair.parts.graph.store):
            if Capability.AGGREGATES not in store.capabilities:
                self.tally.note(f"{store.kind} cannot sum up by itself: all of its rows were read, without content.")

    async def _follow(self) -> bool:
        """Bring this process's own projection up to truth; False where there is no copy to look at."""
        self.tally.note("The graph is this process's own projection of truth, no independent copy.")
        if self.scope.user_id is None:
            count = await self.pair.truth(lambda store: store.count(None))
            self.tally.vector = count.value or 0
            return False
        await self.pair.parts.follower.follow(self.scope.user_id, Deadline(FOLLOW_TIME))
        return True

    async def _unlawful(self, drift: list[Inconsistency]) -> list[Inconsistency]:
        """Leave out tenants whose graph a rebuild has emptied and not filled yet: they are under that run.

        Asked after the stores were read, so that a rebuild which emptied what was read is among those found.
        """
        if not drift:
            return drift
        query = RunQuery(RunKind.REBUILD)
        runs = await self.pair.truth(lambda store: store.runs(query, limit=100))
        emptied = _emptied(runs, self.started_at)
        left = [one for one in drift if one.user_id not in emptied]
        if len(left) < len(drift):
            self.tally.lost("A rebuild that empties the graph first is under way; look again when it is done.")
        return left

    def _phases(self) -> list[AsyncGenerator[Found]]:
        phases = {"scan": self._scan}
        if self.depth is not Depth.QUICK:
            phases |= {"edges": self._edges, "entities": self._entities}
        if self.depth is Depth.FULL:
            phases["memories"] = self._memories
        names = list(phases)
        ahead = names[names.index(self.position.phase) :] if self.position.phase in names else []
        return [self._in_phase(name, phases[name]) for name in ahead]

    async def _in_phase(self, name: str, phase: Callable[[], AsyncGenerator[Found]]) -> AsyncGenerator[Found]:
        if self.emptied:
            return
        if self.position.phase != name:
            self.position = Position(name)
        async for found in phase():
            yield found

    # --- a graph that was emptied -------------------------------------------------------------------------------

    async def _emptied(self) -> bool:
        """Say whether the graph holds no memory at all."""
        counts = await self.pair.graph(lambda store: store.counts(self.scope.user_id))
        return counts.memories == 0 and counts.exact

    async def _counted(self) -> AsyncGenerator[Found]:
        """Count what truth has and no outbox entry speaks of; list the first of it."""
        user_id = self.scope.user_id
        self.tally.vector = await scan.size_of_truth(self.pair, await self._wanted(EVERYTHING, scan.ALL_BITS))
        outbox = await self.pair.truth(lambda store: store.outbox_stats(user_id, bound=self.tally.vector))
        page = await self.pair.truth(lambda store: store.walk(user_id, after=None, limit=TOGETHER))
        drift = await confirm(self.pair, [Key(memory.user_id, memory.id) for memory in page])
        yield Found(drift)
        self.tally.counts[Kind.MISSING] = max(self.tally.vector - outbox.pending - outbox.dead, len(drift))
        self.tally.note("The graph holds no memory: what it lacks was counted, and only the first of it listed.")

    # --- phases -------------------------------------------------------------------------------------------------

    async def _scan(self) -> AsyncGenerator[Found]:
        bits = scan.bits_for(self.scope.user_id, await self.size() or 0)
        for span in await self._spans(AT_ONCE, most=1 << bits):
            try:
                wanted = await self._wanted(span, bits)
                sizes, parts = await scan.compare(self.pair, wanted)
                if self.counting and sizes.graph == 0 and sizes.vector > COUNT_FROM and await self._emptied():
                    self.emptied = True
                    async for found in self._counted():
                        yield found
                    return
                async for keys in scan.below(self.pair, wanted, sizes, parts):
                    for some in _some(keys):
                        yield Found(await confirm(self.pair, some))
            except UNREADABLE as error:
                self._unreadable(error)
            else:
                self.tally.vector += sizes.vector
                self.tally.graph += sizes.graph
                self.position.failed = 0
            await self._passed(span.high)

    async def _wanted(self, span: Span, bits: int) -> scan.Wanted:
        share = (span.high - span.low) / EVERYTHING.high
        return scan.Wanted(self.scope.user_id, span, bits, int((await self.size() or AT_ONCE) * share))

    async def _edges(self) -> AsyncGenerator[Found]:
        for span in await self._spans(TORN_AT_ONCE, most=4_096):
            try:
                async for keys in self._torn(span):
                    for some in _some(keys):
                        yield Found(self._homed(await confirm_closely(self.pair, some, Depth.STRUCTURE)))
                self.position.failed = 0
            except UNREADABLE as error:
                self._unreadable(error)
            await self._passed(span.high)

    def _homed(self, drift: list[Inconsistency]) -> list[Inconsistency]:
        """Leave the edges of live memories to the walk over all memories, where there will be one: no drift twice."""
        if self.depth is not Depth.FULL:
            return drift
        return [one for one in drift if one.vector_version is None or one.kind not in EDGES]

    async def _torn(self, span: Span) -> AsyncGenerator[list[Key]]:
        """Yield torn memories; a span with very many is divided, so that no answer is large."""
        found = await self.pair.graph(lambda store: store.torn(self.scope.user_id, span, limit=TORN_LIMIT))
        if len(found) < TORN_LIMIT or span.high - span.low == 1:
            yield found
            return
        middle = (span.low + span.high) // 2
        for half in (Span(span.low, middle), Span(middle, span.high)):
            async for keys in self._torn(half):
                yield keys

    async def _entities(self) -> AsyncGenerator[Found]:
        user_id = self.scope.user_id
        while True:
            after = self.position.at
            try:
                page: EntityPage = await self.pair.graph(
                    lambda store, after=after: store.loose_ends(user_id, after=after, limit=ENTITIES_PAGE)  # type: ignore[misc]  # mypy does not infer a default
                )
                edges, orphans = await confirm_loose(self.pair, page)
            except UNREADABLE as error:
                self._unreadable(error)  # where the next page begins is not known
                return
            yield Found(loose(edges, orphans), edges, orphans)
            await self.pair.throttle.rows(page.seen)
            if page.after is None:
                return
            await self._passed(page.after)

    async def _memories(self) -> AsyncGenerator[Found]:
        at = self.position.at
        async with aclosing(unlike_memories(self.pair, self.scope.user_id, Key(*at) if at else None)) as pages:
            try:
                async for last, keys in pages:
                    for some in _some(keys):
                        yield Found(await confirm_closely(self.pair, some, Depth.FULL))
                    await self._passed(tuple(last))
            except UNREADABLE as error:
                self._unreadable(error)

    async def _named_memories(self, keys: Sequence[Key]) -> AsyncGenerator[Found]:
        for some in _some(keys):
            try:
                quick = self.depth is Depth.QUICK
                drift = await (confirm(self.pair, some) if quick else self._closely(some))
                standings = await self.pair.truth(lambda store, some=some: store.standings(some))  # type: ignore[misc]  # mypy does not infer a default
                heads = await self.pair.graph(lambda store, some=some: store.heads(some))  # type: ignore[misc]  # mypy does not infer a default
            except UNREADABLE as error:
                self._unreadable(error)
                continue
            self.tally.vector += sum(standing.live for standing in standings.values())
            self.tally.graph += sum(head.live for head in heads.values())
            yield Found(drift)
            await self.checkpoint()

    async def _closely(self, keys: Sequence[Key]) -> list[Inconsistency]:
        return await confirm_closely(self.pair, keys, self.depth, scanned=False)

    # --- steps --------------------------------------------------------------------------------------------------

    async def size(self) -> int | None:
        """Return about how many memories there are in truth, None where it does not say."""
        if self.total is None:
            try:
                bound = ESTIMATED if self.scope.user_id is None else scan.TENANT * 2
                count = await self.pair.truth(lambda store: store.count(self.scope.user_id, bound=bound))
                self.total = count.value
            except UNREADABLE:
                return None
        return self.total

    async def _spans(self, rows: int, *, most: int) -> list[Span]:
        """Divide what is left of the buckets so that about ``rows`` memories are in each span."""
        size, number, at = await self.size() or 0, 1, self.position.at or EVERYTHING.low
        while number * rows < size and number < most:
            number *= 2
        return [Span(max(span.low, at), span.high) for span in scan.slices(number) if span.high > at]

    async def _passed(self, at: Any) -> None:
        self.position.at = at
        await self.checkpoint()

    def _unreadable(self, error: PersistenceError) -> None:
        """Count a part that could not be read. Raises GivenUpError where it is one too many."""
        log.warning("A part of the stores could not be read.", action="check", reason=error.message)
        self.kept = self.saved()
        self.tally.lost(error.message)
        self.position.failed += 1
        if self.position.failed >= GIVE_UP:
            raise GivenUpError


def _emptied(rebuilds: Sequence[Run], since: datetime) -> set[str | None]:
    """Return the tenants that one of these runs, the newest first, has emptied and none has filled by ``since``.

    A run that ended at that very moment is over: it had filled the graph by then, and what was looked at came after.
    """
    filled: set[str | None] = set()
    emptied: set[str | None] = set()
    for run in rebuilds:
        over = run.finished_at is not None and run.finished_at <= since
        if run.request["clear_existing"] and not over and not {run.user_id, None} & filled:
            emptied.add(run.user_id)
        if run.state is RunState.DONE and over:
            filled.add(run.user_id)
    return emptied


def _some(keys: Sequence[Key]) -> list[Sequence[Key]]:
    return [keys[i : i + TOGETHER] for i in range(0, len(keys), TOGETHER)]
