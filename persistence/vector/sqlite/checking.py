"""What a check, a repair and a rebuild ask of truth: sums, narrow rows, how single memories stand, and a walk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial

from persistence.ports.checking import BucketSum, Doubt, Head, Span, Standing
from persistence.ports.outbox import Key, OutboxEntry
from persistence.projection import BUCKET_BITS, bucket
from persistence.records import Memory
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Session
from persistence.vector.sqlite.sessions import Part

_SQL, _OUTBOX, _WRITES = Queries("checking"), Queries("outbox"), Queries("writes")
_SUMS = {False: _SQL.get("bucket_sums"), True: _SQL.get("bucket_sums_tenant")}
_ROWS = {False: _SQL.get("bucket_rows"), True: _SQL.get("bucket_rows_tenant")}
_STANDING = _SQL.get("standing")
_WALK = {False: _SQL.get("walk"), True: _SQL.get("walk_tenant")}
_ENLIST = _SQL.get("enlist")
_PENDING, _NEXT_CLAIM = _OUTBOX.get("pending"), _OUTBOX.get("next_claim")
_STORE, _PUT_TOMBSTONE = _WRITES.get("store"), _WRITES.get("put_tombstone")
_FIRST = Key("", "")


class Checking(Part):
    """What the port says of checks."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]:
        parameters = {"user_id": user_id, "low": span.low, "high": span.high, "shift": BUCKET_BITS - bits}
        query = _SUMS[user_id is not None]
        found = await self._sessions.read(lambda session: session.rows(query, parameters))
        return {prefix: BucketSum(*sums) for prefix, *sums in found}

    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]:
        query = _ROWS[user_id is not None]

        def work(session: Session) -> list[Head]:
            found = (session.rows(query, {"user_id": user_id, **span._asdict()}) for span in spans)
            return [Head(*row) for rows in found for row in rows]

        return await self._sessions.read(work)

    async def standings(self, keys: Sequence[Key]) -> dict[Key, Standing]:
        if not keys:
            return {}
        return await self._sessions.read(lambda session: {key: _standing(session, key) for key in keys})

    async def walk(
        self, user_id: str | None, *, after: Key | None, limit: int, embeddings: bool = False
    ) -> list[Memory]:
        start, query = after or _FIRST, _WALK[user_id is not None]
        place = {"user_id": user_id, "after_user": start.user_id, "after_id": start.id}
        parameters = {**place, "limit": limit, "embeddings": embeddings}
        return await self._sessions.read(lambda session: [r.to_memory(row) for row in session.rows(query, parameters)])

    async def enlist(self, doubts: Sequence[Doubt], *, lease: float) -> list[OutboxEntry]:
        if not doubts:
            return []
        return await self._sessions.write(partial(self._enlist, doubts=sorted(doubts), lease=lease))

    def _enlist(self, session: Session, *, doubts: Sequence[Doubt], lease: float) -> list[OutboxEntry]:
        now = self._sessions.now()
        claim = {"now": now, "due_at": r.after(now, lease), "claim": session.number(_NEXT_CLAIM)}
        listed = [doubt for doubt in doubts if session.changed(_ENLIST, {**doubt._asdict(), **claim, **_entry_id()})]
        entries = [r.to_entry(session.one(_PENDING, (doubt.user_id, doubt.id))) for doubt in listed]
        _bury(session, [entry for entry in entries if _standing(session, entry.key).version is None], now)
        return entries


def _entry_id() -> dict[str, str]:
    return {"entry_id": str(uuid.uuid4())}


def _standing(session: Session, key: Key) -> Standing:
    version, digest, pending = session.one(_STANDING, key._asdict())
    return Standing(version, digest, bool(pending))


def _bury(session: Session, unheard: Sequence[OutboxEntry], now: int) -> None:
    """Leave tombstones of what truth knows nothing of."""
    if not unheard:
        return
    _, _, newest = session.one(_STORE)
    session.many(
        _PUT_TOMBSTONE,
        [
            (number, *entry.key, entry.version, bucket(*entry.key), str(entry.entry_id), now)
            for number, entry in enumerate(unheard, newest + 1)
        ],
    )
