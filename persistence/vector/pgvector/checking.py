"""What a check, a repair and a rebuild ask of truth: sums, narrow rows, how single memories stand, and a walk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from psycopg import sql

from persistence.ports.checking import BucketSum, Doubt, Head, Span, Standing
from persistence.ports.outbox import Key, OutboxEntry
from persistence.projection import BUCKET_BITS, bucket
from persistence.records import Memory
from persistence.vector.pgvector import rows as r
from persistence.vector.pgvector.queries import ENTRY, MEMORY, MEMORY_LIGHT, Queries
from persistence.vector.pgvector.session import Part
from persistence.vector.work import in_thread

_SQL = Queries("checking")
_OF_ALL, _OF_TENANT = sql.SQL("true"), sql.SQL("m.user_id = %(user_id)s")
_TENANT = {False: _OF_ALL, True: _OF_TENANT}
_SUMS = {one: _SQL.get("bucket_sums", tenant=tenant) for one, tenant in _TENANT.items()}
_ROWS = {one: _SQL.get("bucket_rows", tenant=tenant) for one, tenant in _TENANT.items()}
_STANDINGS = _SQL.get("standings")
_WALK = {
    (one, wide): _SQL.get("walk" if one else "walk_all", memory=MEMORY if wide else MEMORY_LIGHT)
    for one in (False, True)
    for wide in (False, True)
}
_ENLIST = _SQL.get("enlist", entry=ENTRY)
#: What the lower halves are summed less.
_BIAS = 2**31
_FIRST = Key("", "")


class Checking(Part):
    """What the port says of checks."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        parameters = {"user_id": user_id, "low": span.low, "high": span.high, "shift": BUCKET_BITS - bits}
        query = _SUMS[user_id is not None]
        async with self._sessions.use() as connection:
            # Never prepared: a plan made for any tenant and any span would suit none.
            found = await (await connection.execute(query, parameters, prepare=False, binary=True)).fetchall()
        return {row[0]: _sum(*row[1:]) for row in found}

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        parameters = {"user_id": user_id, "lows": [s.low for s in spans], "highs": [s.high for s in spans]}
        query = _ROWS[user_id is not None]
        async with self._sessions.use() as connection:
            found = await (await connection.execute(query, parameters, prepare=False, binary=True)).fetchall()
        return [Head(*row) for row in found]

    async def standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        if not keys:
            return {}
        parameters = {"user_ids": [key.user_id for key in keys], "ids": [key.id for key in keys]}
        async with self._sessions.use() as connection:
            found = await (await connection.execute(_STANDINGS, parameters, binary=True)).fetchall()
        return {Key(user_id, memory_id): Standing(*rest) for user_id, memory_id, *rest in found}

    async def walk(
        self, user_id: str | None, *, after: Key | None, limit: int, embeddings: bool = False
    ) -> list[Memory]:
        start = after or _FIRST
        parameters = {"user_id": user_id, "after_user": start.user_id, "after_id": start.id, "limit": limit}
        query = _WALK[user_id is not None, embeddings]
        async with self._sessions.use() as connection:
            found = await (await connection.execute(query, parameters, binary=True)).fetchall()
        return await in_thread(lambda: [r.to_memory(row) for row in found], len(found))

    async def enlist(self, doubts: Sequence[Doubt], *, lease: float) -> list[OutboxEntry]:
        if not doubts:
            return []
        parameters = {
            "user_ids": [doubt.user_id for doubt in doubts],
            "ids": [doubt.id for doubt in doubts],
            "entry_ids": [uuid.uuid4() for _ in doubts],
            "versions": [doubt.version for doubt in doubts],
            "buckets": [bucket(doubt.user_id, doubt.id) for doubt in doubts],
            "lease": float(lease),
        }
        async with self._sessions.use(write=True) as connection:
            found = await (await connection.execute(_ENLIST, parameters, binary=True)).fetchall()
        return [r.to_entry(row) for row in found]


def _sum(count: int, digest_high: int, digest_low: int, version_high: int, version_low: int) -> BucketSum:
    return BucketSum(count, digest_high, digest_low + count * _BIAS, version_high, version_low + count * _BIAS)
