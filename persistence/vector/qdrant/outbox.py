"""The outbox: entries are settled, claimed, given back, listed.

An entry changes under conditions on the entry alone, so a new write of its memory is never touched. Where it matters
who was first, a token is left in the point, and read back.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.results import OutboxStats
from persistence.vector.qdrant import entries, layout
from persistence.vector.qdrant.counting import bounded
from persistence.vector.qdrant.engine import Found, Payload, Put
from persistence.vector.qdrant.inconsistencies import Inconsistencies
from persistence.vector.qdrant.ordered import Ordered
from persistence.vector.qdrant.session import PAGE
from persistence.vector.qdrant.terms import AnyOf, Either, Ids, Is, Not, Term, Terms, Within

_PENDING = Within("due", gte=0)
_DEAD = Within("dead", gte=0)
_KINDS: dict[bool | None, Term] = {None: Either([_PENDING, _DEAD]), True: _DEAD, False: _PENDING}
_CLAIMABLE = ("entry", "attempts", "claim", "due")


class Outbox(Inconsistencies):
    """What the port says of the outbox."""

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        return await self._engine.run(lambda: self._settle(settlements), write=True)

    async def _settle(self, settlements: Sequence[Settlement]) -> int:
        if not settlements:
            return 0
        token = str(uuid.uuid4())
        points = [layout.memory_point(Key(s.user_id, s.id)) for s in settlements]
        await self._engine.change(
            self._memories, Put([Ids(points), _these(settlements)], {**entries.NO_ENTRY, "settled_by": token})
        )
        found = await self._engine.get(self._memories, points, ("settled_by",))
        return sum(point.payload.get("settled_by") == token for point in found.values())

    async def release(self, settlements: Sequence[Settlement]) -> None:
        await self._engine.run(lambda: self._release(settlements), write=True)

    async def _release(self, settlements: Sequence[Settlement]) -> None:
        if settlements:
            wall = layout.now()
            points = [layout.memory_point(Key(s.user_id, s.id)) for s in settlements]
            unclaimed: list[Term] = [Is("claim", 0), Is("attempts", 0), Within("due", gte=wall)]
            await self._engine.change(
                self._memories, Put([Ids(points), _these(settlements), *unclaimed], {"due": wall})
            )

    async def claim(self, *, limit: int, lease: float) -> list[OutboxEntry]:
        return await self._engine.run(lambda: self._claim(limit, lease), write=True)

    async def _claim(self, limit: int, lease: float) -> list[OutboxEntry]:
        wall = layout.now()
        due = await self._engine.ordered(
            self._memories, [Within("due", lte=wall)], "due", limit=limit, fields=_CLAIMABLE
        )
        if not due:
            return []
        claimant = str(uuid.uuid4())
        token = max(wall, *(point.payload["claim"] + 1 for point in due))
        until = wall + int(lease * 1_000_000)
        await self._engine.change(self._memories, *_claims(due, wall, claimant, token, until))
        ids = [point.id for point in due]
        found = await self._engine.get(self._memories, ids, layout.ENTRY)
        won = (found[point] for point in ids if point in found)
        return [entries.to_entry(point) for point in won if point.payload.get("claimant") == claimant]

    async def postpone(self, postponements: Sequence[Postponement]) -> int:
        return await self._engine.run(lambda: self._postpone(postponements), write=True)

    async def _postpone(self, postponements: Sequence[Postponement]) -> int:
        if not postponements:
            return 0
        token = str(uuid.uuid4())
        ids = [layout.memory_point(Key(p.user_id, p.id)) for p in postponements]
        found = await self._engine.get(self._memories, ids, ("entry", "attempts", "claim"))
        pairs = [(found[point], p) for point, p in zip(ids, postponements, strict=True) if point in found]
        ours = [(point, p) for point, p in pairs if _is_ours(point, p)]
        await self._engine.change(self._memories, *(_postponed(point, p, token) for point, p in ours))
        after = await self._engine.get(self._memories, [point.id for point, _ in ours], ("claimant",))
        return sum(point.payload.get("claimant") == token for point in after.values())

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        return await self._engine.run(lambda: self._stats(user_id, bound))

    async def _stats(self, user_id: str | None, bound: int) -> OutboxStats:
        tenant = _tenant(user_id)
        wheres = ([*tenant, _PENDING], [*tenant, _DEAD], [*tenant, _PENDING, Is("disabled", 1)])
        counts = [await bounded(self._engine, self._memories, where, bound) for where in wheres]
        pending, dead, disabled = (min(count.value or 0, bound) for count in counts)
        oldest = await self._oldest([*tenant, _PENDING]) if pending else None
        return OutboxStats(pending, dead, oldest, disabled, counts[0].exact and counts[1].exact)

    async def _oldest(self, where: Terms) -> float | None:
        """Return the age of the oldest entry, in seconds."""
        found = await self._engine.ordered(self._memories, where, "entry_at", limit=1, fields=("entry_at",))
        return (layout.now() - found[0].payload["entry_at"]) / 1_000_000 if found else None

    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]:
        return await self._engine.run(lambda: self._outbox_page(_KINDS[dead], after, limit, user_id))

    async def _outbox_page(self, kind: Term, after: Key | None, limit: int, user_id: str | None) -> list[OutboxEntry]:
        ordered = Ordered(self._engine, self._memories, [kind])
        start = after or Key("", "")
        if user_id is None:
            keys = await ordered.of_all(start, limit)
        elif start.user_id > user_id:
            keys = []
        else:
            keys = await ordered.of_tenant(user_id, start.id if start.user_id == user_id else "", limit)
        entries = await self._entries(keys)
        return [entries[key] for key in keys if key in entries]

    async def pending(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        return await self._engine.run(lambda: self._entries(keys))

    async def _entries(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        ids = [layout.memory_point(key) for key in keys]
        found = await self._engine.get(self._memories, ids, layout.ENTRY)
        return {layout.to_key(point): entries.to_entry(point) for point in found.values() if "entry" in point.payload}

    async def revive(self, keys: Sequence[Key] | None) -> int:
        return await self._engine.run(lambda: self._revive(keys), write=True)

    async def _revive(self, keys: Sequence[Key] | None) -> int:
        wall = layout.now()
        fields: Payload = {"dead": None, "attempts": 0, "claim": 0, "claimant": None, "due": wall}
        revived = 0
        for some in _pages(keys):
            where: list[Term] = [_DEAD, *some]
            dead = await self._engine.count(self._memories, where)
            await self._engine.change(self._memories, Put(where, fields))
            revived += dead
        return revived

    async def discard(self, key: Key, entry_id: UUID) -> bool:
        return await self._engine.run(lambda: self._discard(key, entry_id), write=True)

    async def _discard(self, key: Key, entry_id: UUID) -> bool:
        """Keep it as an inconsistency first: whoever dies in between has listed it twice, not lost it."""
        entry = (await self._entries([key])).get(key)
        if entry is None or not entry.dead or entry.entry_id != entry_id:
            return False
        await self._keep_discarded(entry)
        where: list[Term] = [
            Ids([layout.memory_point(key)]),
            Is("entry", entries.entry_name(entry_id, entry.version)),
            _DEAD,
        ]
        await self._engine.change(self._memories, Put(where, entries.NO_ENTRY))
        return True

    async def next_due(self) -> float | None:
        found = await self._engine.run(
            lambda: self._engine.ordered(self._memories, [_PENDING], "due", limit=1, fields=("due",))
        )
        return (found[0].payload["due"] - layout.now()) / 1_000_000 if found else None


def _these(settlements: Sequence[Settlement]) -> Term:
    return AnyOf("entry", [entries.entry_name(s.entry_id, s.version) for s in settlements])


def _tenant(user_id: str | None) -> list[Term]:
    return [] if user_id is None else [Is("user_id", user_id)]


def _claims(due: Sequence[Found], wall: int, claimant: str, token: int, until: int) -> list[Put]:
    """Return one change for all entries of the same number of attempts, as long as nobody else has them."""

    def state(point: Found) -> tuple[int, int]:
        return point.payload["attempts"], point.payload["claim"]

    changes = []
    for (attempts, claim), group in groupby(sorted(due, key=state), key=state):
        points = list(group)
        where: list[Term] = [
            Ids([point.id for point in points]),
            AnyOf("entry", [point.payload["entry"] for point in points]),
            Is("attempts", attempts),
            Is("claim", claim),
            Within("due", lte=wall),
        ]
        fields = {"claim": token, "claimant": claimant, "attempts": attempts + 1, "disabled": None, "due": until}
        changes.append(Put(where, fields))
    return changes


def _is_ours(point: Found, postponement: Postponement) -> bool:
    entry = entries.entry_of(point.payload)
    return entry is not None and entry[0] == postponement.entry_id and point.payload["claim"] == postponement.claim


def _postponed(point: Found, postponement: Postponement, token: str) -> Put:
    attempts, wall = point.payload["attempts"], layout.now()
    due = wall + int(postponement.delay * 1_000_000)
    fields: Payload = {
        "claim": 0,
        "claimant": token,
        "reason": postponement.reason,
        "attempts": max(attempts - postponement.give_back, 0),
        "due": None if postponement.dead else due,
        "dead": wall if postponement.dead else None,
    }
    claimed: list[Term] = [Is("claim", postponement.claim), Is("attempts", attempts), Not(_DEAD)]
    return Put([Ids([point.id]), Is("entry", point.payload["entry"]), *claimed], fields)


def _pages(keys: Sequence[Key] | None) -> list[list[Term]]:
    """Return what names some keys at a time; nothing, where all are meant."""
    if keys is None:
        return [[]]
    points = [layout.memory_point(key) for key in keys]
    return [[Ids(points[start : start + PAGE])] for start in range(0, len(points), PAGE)]
