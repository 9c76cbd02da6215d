"""What a check, a repair and a rebuild ask of truth: sums, narrow rows, how single memories stand, and a walk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from persistence.ports.checking import HALF, BucketSum, Doubt, Head, Span, Standing
from persistence.ports.outbox import Key, OutboxEntry
from persistence.projection import BUCKET_BITS, bucket
from persistence.records import Memory
from persistence.vector.memory.rows import Entry, Grave, Row, to_entry, to_memory
from persistence.vector.memory.state import State, Table, Transaction
from persistence.vector.memory.storage import Part
from persistence.vector.memory.times import later


class Checking(Part):
    """What the port says of checks."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        return await self._open().view(lambda state: _sums(_inside(state, user_id, [span]), BUCKET_BITS - bits))

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        return await self._open().view(
            lambda state: [Head(r.user_id, r.id, r.digest, r.version) for r in _inside(state, user_id, spans)]
        )

    async def standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        return await self._open().view(lambda state: {key: _standing(state, key) for key in keys}, len(keys))

    async def walk(
        self, user_id: str | None, *, after: Key | None, limit: int, embeddings: bool = False
    ) -> list[Memory]:
        def work(state: State) -> list[Memory]:
            return [to_memory(row, embeddings=embeddings) for row in _walk(state, user_id, after, limit)]

        return await self._open().view(work, limit)

    async def enlist(self, doubts: Sequence[Doubt], *, lease: float) -> list[OutboxEntry]:
        if not doubts:
            return []
        return await self._open().commit(lambda tx: _enlist(tx, doubts, lease), len(doubts))


def _inside(state: State, user_id: str | None, spans: Sequence[Span]) -> list[Row]:
    rows = [row for tenant in state.chosen(user_id) for row in tenant.memories.values()]
    buckets = np.fromiter((row.bucket for row in rows), dtype=np.int64, count=len(rows))
    inside = np.zeros(len(rows), dtype=bool)
    for span in spans:
        inside |= (buckets >= span.low) & (buckets < span.high)
    return [rows[place] for place in np.flatnonzero(inside)]


def _sums(rows: Sequence[Row], shift: int) -> dict[int, BucketSum]:
    """Halves are summed as integers of 64 bits, which hold the sums of 2^31 of them."""
    columns = np.array([(row.bucket >> shift, row.digest, row.version) for row in rows], dtype=np.int64).reshape(-1, 3)
    prefixes, group, counts = np.unique(columns[:, 0], return_inverse=True, return_counts=True)
    halves = [part for column in (columns[:, 1], columns[:, 2]) for part in np.divmod(column, HALF)]
    sums = [np.zeros(len(prefixes), dtype=np.int64) for _ in halves]
    for total, half in zip(sums, halves, strict=True):
        np.add.at(total, group, half)
    values = zip(counts.tolist(), *(total.tolist() for total in sums), strict=True)
    return {prefix: BucketSum(*value) for prefix, value in zip(prefixes.tolist(), values, strict=True)}


def _standing(state: State, key: Key) -> Standing:
    tenant, pending = state.tenant(key.user_id), key in state.outbox.by_key
    row, grave = tenant.memories.get(key.id), tenant.tombstones.get(key.id)
    if row is not None:
        return Standing(row.version, row.digest, pending)
    return Standing(None if grave is None else grave.version, None, pending)


def _walk(state: State, user_id: str | None, after: Key | None, limit: int) -> list[Row]:
    start = after or Key("", "")
    users = sorted(user for user in state.tenants if user >= start.user_id) if user_id is None else [user_id]
    found: list[Row] = []
    for user in users:
        tenant = state.tenant(user)
        ids = tenant.ids.after(start.id if user == start.user_id else None, limit - len(found))
        found += [tenant.memories[memory_id] for memory_id in ids]
        if len(found) >= limit:
            break
    return found


def _enlist(tx: Transaction, doubts: Sequence[Doubt], lease: float) -> list[OutboxEntry]:
    claim, listed = tx.about.claims, []
    for doubt in sorted(doubts):
        key = Key(doubt.user_id, doubt.id)
        if tx.get(Table.OUTBOX, key) is not None:
            continue
        claim += 1
        entry = Entry(*key, str(uuid.uuid4()), doubt.version, 1, tx.moment, later(tx.moment, lease), claim, forced=True)
        tx.put(Table.OUTBOX, key, entry)
        _bury_unknown(tx, entry)
        listed.append(entry)
    if listed:
        tx.say(replace(tx.about, claims=claim))
    return [to_entry(entry) for entry in listed]


def _bury_unknown(tx: Transaction, entry: Entry) -> None:
    """Leave a tombstone of what truth knows nothing of, so that it is collected like any other's."""
    if tx.get(Table.MEMORIES, entry.key) is None and tx.get(Table.TOMBSTONES, entry.key) is None:
        grave = Grave(*entry.key, entry.version, bucket(*entry.key), entry.entry_id, tx.moment)
        tx.put(Table.TOMBSTONES, entry.key, grave)
