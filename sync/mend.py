"""Brings single memories in step again, through the outbox: listed first, then written by the relay's own rules.

So a repair that dies half-way leaves nothing that is not listed, what it writes is what truth says at that moment, and
a graph that is ahead has truth raised above it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum

from persistence.ports.checking import Doubt, OrphanEntity, StrayEdge
from persistence.ports.outbox import Key, OutboxEntry
from persistence.ports.runs import Inconsistency, Kind
from persistence.retry import Deadline
from sync.confirm import loose
from sync.model import Strategy
from sync.pair import Pair

#: Seconds for which what is being mended is ours; whoever takes it after that does no harm.
LEASE = 60.0
#: Seconds for which a repair waits for what has to go through the outbox once more: in all, and with nothing moving
#: (what a process that died has claimed stays as it is until its lease is over, and needs nobody to wait for it).
SETTLE_TIME, STILL_TIME = 30.0, 3.0
PAUSE = 0.02


class Mended(StrEnum):
    """What became of one inconsistency."""

    REPAIRED = "repaired"
    REFUSED = "refused"
    FAILED = "failed"
    """The graph did not take it; it is listed in the outbox."""


def mendable(one: Inconsistency, strategy: Strategy) -> bool:
    """Say whether a strategy allows to mend an inconsistency."""
    if one.kind in {Kind.UNKNOWN, Kind.DISCARDED} or strategy is Strategy.REPORT_ONLY:
        return False
    return strategy is Strategy.TRUTH_WINS or one.kind is Kind.MISSING


class Mender:
    """Mends what a check found."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._relay = pair.parts.relay

    async def mend(self, drift: Sequence[Inconsistency]) -> dict[Inconsistency, Mended]:
        """Bring the memories of these inconsistencies to what truth says."""
        doubts = {_key(one): _doubt(one) for one in drift}
        behind = await self.bring_up(list(doubts.values()))
        return {one: Mended.FAILED if _key(one) in behind else Mended.REPAIRED for one in drift}

    async def bring_up(self, doubts: Sequence[Doubt], *, emptied: bool = False) -> set[Key]:
        """List memories in the outbox and bring the graph up to them; return those that are still listed.

        ``emptied``: the graph has forgotten what it had of them. An entry that was there already may be settled yet by
        whoever had written that, so its memory gets another.
        """
        if not doubts:
            return set()
        await self._pair.throttle.rows(len(doubts))
        entries: list[OutboxEntry] = await self._pair.change(lambda store: store.enlist(doubts, lease=LEASE))
        ours = {entry.key for entry in entries}
        for doubt in doubts:
            if emptied and (key := Key(doubt.user_id, doubt.id)) not in ours:
                await self._relay.renew(key, doubt.version)
        done = await self._relay.take(entries)
        return await self._settled([key for doubt in doubts if (key := Key(doubt.user_id, doubt.id)) not in done])

    async def cut(self, edges: Sequence[StrayEdge], entities: Sequence[OrphanEntity]) -> dict[Inconsistency, Mended]:
        """Remove what belongs to nobody."""
        await self._pair.graph(lambda store: store.cut_loose(edges, entities))
        left = loose(*await self._pair.graph(lambda store: store.still_loose(edges, entities)))
        return {one: Mended.FAILED if one in left else Mended.REPAIRED for one in loose(edges, entities)}

    async def _settled(self, keys: Sequence[Key]) -> set[Key]:
        """Wait for memories that have to go through the outbox once more; return those that stay there.

        Where truth was raised above the graph, they are due at once; others may be somebody else's to bring up.
        """
        deadline, still = Deadline(SETTLE_TIME), Deadline(STILL_TIME)
        pending: Mapping[Key, OutboxEntry | None] = dict.fromkeys(keys)
        while pending:
            entries = await self._pair.truth(lambda store, asked=list(pending): store.pending(asked))  # type: ignore[misc]  # mypy does not infer a default
            if entries != pending:
                pending, still = entries, Deadline(STILL_TIME)
            hopeless = all(entry.dead or entry.reason for entry in entries.values())
            if hopeless or min(deadline.remaining(), still.remaining()) <= 0:
                break
            if not await self._relay.work():
                await asyncio.sleep(PAUSE)
        return set(pending)


def _key(one: Inconsistency) -> Key:
    return Key(one.user_id, one.memory_id or "")


def _doubt(one: Inconsistency) -> Doubt:
    version = one.vector_version if one.vector_version is not None else one.graph_version
    return Doubt(one.user_id, one.memory_id or "", version or 0)
