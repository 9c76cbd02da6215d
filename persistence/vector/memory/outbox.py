"""The outbox: entries are settled, claimed, given back, listed; tombstones are collected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.ports.runs import Inconsistency, Kind
from persistence.ports.vector import Tombstone
from persistence.results import OutboxStats
from persistence.vector.memory.found import keep
from persistence.vector.memory.rows import Entry, Grave, to_entry
from persistence.vector.memory.state import State, Table, Transaction
from persistence.vector.memory.storage import Part
from persistence.vector.memory.times import later


class OutboxPart(Part):
    """What the port says of the outbox and of tombstones."""

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        """Not waited for: an entry that comes back after a crash of the machine is applied once more."""
        if not settlements:
            return 0
        work = settlements
        return await self._open().commit(lambda tx: sum(_settle(tx, one) for one in work), len(work), durable=False)

    async def release(self, settlements: Sequence[Settlement]) -> None:
        def work(tx: Transaction) -> None:
            for one in settlements:
                entry = _entry(tx, one.user_id, one.id, one.entry_id)
                if entry and entry.claim == entry.attempts == 0 and entry.dead_at is None:
                    tx.put(Table.OUTBOX, entry.key, replace(entry, due_at=min(entry.due_at, tx.moment)))

        if settlements:
            await self._open().commit(work, len(settlements), durable=False)

    async def claim(self, *, limit: int, lease: float) -> list[OutboxEntry]:
        """Not waited for: an attempt that a crash of the machine forgets is one attempt more."""
        return await self._open().commit(lambda tx: _claim(tx, limit, lease), limit, durable=False)

    async def postpone(self, postponements: Sequence[Postponement]) -> int:
        if not postponements:
            return 0
        work = postponements
        return await self._open().commit(lambda tx: sum(_postpone(tx, one) for one in work), len(work))

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        storage = self._open()
        return await storage.view(lambda state: _stats(state, user_id, bound, storage.now()))

    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]:
        return await self._open().view(lambda state: _listed(state, dead, after, limit, user_id))

    async def pending(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        def work(state: State) -> dict[Key, OutboxEntry]:
            found = {key: state.outbox.by_key.get(key) for key in keys}
            return {key: to_entry(entry) for key, entry in found.items() if entry is not None}

        return await self._open().view(work, len(keys))

    async def revive(self, keys: Sequence[Key] | None) -> int:
        def work(tx: Transaction) -> int:
            entries = tx.state.outbox.by_key
            chosen = list(entries) if keys is None else keys
            return sum(_revive(tx, entries[key]) for key in chosen if key in entries)

        return await self._open().commit(work, len(keys or ()))

    async def discard(self, key: Key, entry_id: UUID) -> bool:
        return await self._open().commit(lambda tx: _discard(tx, key, entry_id), 1)

    async def next_due(self) -> float | None:
        storage = self._open()
        first = await storage.view(lambda state: state.outbox.first(), 1)
        return None if first is None else (first.due_at - storage.now()) / 1e6

    async def tombstones_due(self, *, age: float, limit: int) -> list[Tombstone]:
        storage = self._open()
        return await storage.view(lambda state: _due(state, later(storage.now(), -age), limit))

    async def collect_tombstones(self, tombstones: Sequence[Tombstone]) -> int:
        if not tombstones:
            return 0
        return await self._open().commit(lambda tx: _collect(tx, tombstones), len(tombstones))


def _entry(tx: Transaction, user_id: str, memory_id: str, entry_id: UUID) -> Entry | None:
    """Return an entry that is still this one."""
    entry: Entry | None = tx.get(Table.OUTBOX, Key(user_id, memory_id))
    return entry if entry is not None and entry.entry_id == str(entry_id) else None


def _settle(tx: Transaction, one: Settlement) -> bool:
    entry = _entry(tx, one.user_id, one.id, one.entry_id)
    if entry is None or entry.version != one.version:
        return False
    tx.remove(Table.OUTBOX, entry.key)
    return True


def _claim(tx: Transaction, limit: int, lease: float) -> list[OutboxEntry]:
    claim, taken = tx.about.claims, []
    for entry in tx.state.outbox.due(tx.moment, limit):
        claim += 1
        due_at = later(tx.moment, lease)
        taken.append(replace(entry, attempts=entry.attempts + 1, claim=claim, disabled=False, due_at=due_at))
    if taken:
        tx.say(replace(tx.about, claims=claim))
    for entry in taken:
        tx.put(Table.OUTBOX, entry.key, entry)
    return [to_entry(entry) for entry in taken]


def _postpone(tx: Transaction, one: Postponement) -> bool:
    entry = _entry(tx, one.user_id, one.id, one.entry_id)
    if entry is None or entry.claim != one.claim or entry.dead_at is not None:
        return False
    postponed = replace(
        entry,
        claim=0,
        reason=one.reason,
        attempts=max(entry.attempts - one.give_back, 0),
        due_at=later(tx.moment, one.delay),
        dead_at=tx.moment if one.dead else None,
    )
    tx.put(Table.OUTBOX, entry.key, postponed)
    return True


def _revive(tx: Transaction, entry: Entry) -> bool:
    if entry.dead_at is None:
        return False
    tx.put(Table.OUTBOX, entry.key, replace(entry, dead_at=None, attempts=0, claim=0, due_at=tx.moment))
    return True


def _discard(tx: Transaction, key: Key, entry_id: UUID) -> bool:
    entry = _entry(tx, *key, entry_id)
    if entry is None or entry.dead_at is None:
        return False
    tx.remove(Table.OUTBOX, key)
    keep(tx, Inconsistency(*key, Kind.DISCARDED, vector_version=entry.version, reason=entry.reason), None)
    return True


def _stats(state: State, user_id: str | None, bound: int, moment: int) -> OutboxStats:
    entries = [e for e in state.outbox.by_key.values() if user_id in {None, e.user_id}]
    alive = [entry for entry in entries if entry.dead_at is None]
    dead = len(entries) - len(alive)
    oldest = min((entry.created_at for entry in alive), default=None)
    return OutboxStats(
        min(len(alive), bound),
        min(dead, bound),
        None if oldest is None else (moment - oldest) / 1e6,
        min(sum(entry.disabled for entry in alive), bound),
        exact=len(alive) <= bound and dead <= bound,
    )


def _listed(state: State, dead: bool | None, after: Key | None, limit: int, user_id: str | None) -> list[OutboxEntry]:  # noqa: FBT001  # three-valued
    start = max(after or Key("", ""), Key(user_id or "", ""))
    found: list[OutboxEntry] = []
    while len(found) < limit and (keys := state.outbox.keys.after(start, max(limit, 100))):
        found += [to_entry(e) for e in _chosen(state, keys, user_id) if dead in {None, e.dead_at is not None}]
        start = keys[-1]
        if user_id is not None and start.user_id > user_id:
            break
    return found[:limit]


def _chosen(state: State, keys: Iterable[Key], user_id: str | None) -> list[Entry]:
    return [state.outbox.by_key[key] for key in keys if user_id in {None, key.user_id}]


def _due(state: State, before: int, limit: int) -> list[Tombstone]:
    old = [
        grave
        for tenant in state.tenants.values()
        for grave in tenant.tombstones.values()
        if grave.deleted_at < before and Key(grave.user_id, grave.id) not in state.outbox.by_key
    ]
    old.sort(key=lambda grave: grave.deleted_at)
    return [Tombstone(grave.user_id, grave.id, grave.version) for grave in old[:limit]]


def _collect(tx: Transaction, tombstones: Sequence[Tombstone]) -> int:
    """Remove tombstones and raise the floor together, so that no version is given out twice."""
    highest, removed = tx.about.floor, 0
    for one in tombstones:
        key = Key(one.user_id, one.id)
        grave: Grave | None = tx.get(Table.TOMBSTONES, key)
        if grave is not None and grave.version == one.version and tx.get(Table.OUTBOX, key) is None:
            tx.remove(Table.TOMBSTONES, key)
            highest, removed = max(highest, one.version), removed + 1
    if highest > tx.about.floor:
        tx.say(replace(tx.about, floor=highest))
    return removed
