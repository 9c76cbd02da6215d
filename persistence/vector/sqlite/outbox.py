"""The outbox: entries are settled, claimed, given back, listed; tombstones are collected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.ports.vector import Tombstone
from persistence.results import OutboxStats
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Row, Session
from persistence.vector.sqlite.sessions import Part

_SQL = Queries("outbox")
_SETTLE = _SQL.get("settle")
_RELEASE = _SQL.get("release")
_DUE = _SQL.get("due")
_NEXT_CLAIM = _SQL.get("next_claim")
_CLAIM = _SQL.get("claim")
_POSTPONE = _SQL.get("postpone")
_STATS, _STATS_TENANT = _SQL.get("stats"), _SQL.get("stats_tenant")
_OLDEST = _SQL.get("oldest")
_PAGE, _PAGE_TENANT = _SQL.get("page"), _SQL.get("page_tenant")
_PENDING = _SQL.get("pending")
_REVIVE, _REVIVE_ALL = _SQL.get("revive"), _SQL.get("revive_all")
_DISCARD, _RECORD_DISCARDED = _SQL.get("discard"), _SQL.get("record_discarded")
_NEXT_DUE = _SQL.get("next_due")
_TOMBSTONES_DUE = _SQL.get("tombstones_due")
_COLLECT, _RAISE_FLOOR = _SQL.get("collect"), _SQL.get("raise_floor")

_FIRST = Key("", "")


class Outbox(Part):
    """What the port says of the outbox and of tombstones."""

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        if not settlements:
            return 0
        rows = [(s.user_id, s.id, str(s.entry_id), s.version) for s in settlements]
        # An entry that comes back after a crash of the machine is applied once more, and that changes nothing.
        return await self._sessions.write(lambda session: session.many(_SETTLE, rows), durable=False)

    async def release(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        now = self._sessions.now()
        rows = [(now, s.user_id, s.id, str(s.entry_id)) for s in settlements]
        await self._sessions.write(lambda session: session.many(_RELEASE, rows))

    async def claim(self, *, limit: int, lease: float) -> list[OutboxEntry]:
        # An attempt that a crash of the machine forgets is one attempt more.
        return await self._sessions.write(partial(self._claim, limit=limit, lease=lease), durable=False)

    def _claim(self, session: Session, *, limit: int, lease: float) -> list[OutboxEntry]:
        now = self._sessions.now()
        due = session.rows(_DUE, {"now": now, "limit": limit})
        if not due:
            return []
        token, until = session.number(_NEXT_CLAIM), r.after(now, lease)
        return [r.to_entry(session.one(_CLAIM, (token, until, *key))) for key in due]

    async def postpone(self, postponements: Sequence[Postponement]) -> int:
        if not postponements:
            return 0

        def work(session: Session) -> int:
            now = self._sessions.now()
            return session.many(_POSTPONE, [_postponed(p, now) for p in postponements])

        return await self._sessions.write(work)

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        return await self._sessions.read(partial(self._stats, user_id=user_id, bound=bound))

    def _stats(self, session: Session, *, user_id: str | None, bound: int) -> OutboxStats:
        query = _STATS if user_id is None else _STATS_TENANT
        pending, dead, oldest, disabled = session.one(query, {"bound": bound, "user_id": user_id})
        if pending > bound and user_id is None:
            (oldest,) = session.one(_OLDEST)
        age = None if oldest is None else (self._sessions.now() - oldest) / 1e6
        exact = pending <= bound and dead <= bound
        return OutboxStats(min(pending, bound), min(dead, bound), age, min(disabled, bound), exact)

    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]:
        start = after or _FIRST
        parameters = {"dead": dead, "after_user": start.user_id, "after_id": start.id, "limit": limit}
        query = _PAGE if user_id is None else _PAGE_TENANT
        rows = await self._sessions.read(lambda session: session.rows(query, {"user_id": user_id, **parameters}))
        return [r.to_entry(row) for row in rows]

    async def pending(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        if not keys:
            return {}
        rows = await self._sessions.read(lambda session: [session.row(_PENDING, key) for key in keys])
        entries = [r.to_entry(row) for row in rows if row is not None]
        return {entry.key: entry for entry in entries}

    async def revive(self, keys: Sequence[Key] | None) -> int:
        now = self._sessions.now()
        if keys is None:
            return await self._sessions.write(lambda session: session.changed(_REVIVE_ALL, {"now": now}))
        rows = [(now, *key) for key in keys]
        return await self._sessions.write(lambda session: session.many(_REVIVE, rows)) if rows else 0

    async def discard(self, key: Key, entry_id: UUID) -> bool:
        return await self._sessions.write(partial(self._discard, key=key, entry_id=entry_id))

    def _discard(self, session: Session, *, key: Key, entry_id: UUID) -> bool:
        row = session.row(_DISCARD, {**key._asdict(), "entry_id": str(entry_id)})
        if row is None:
            return False
        version, reason = row
        found = {**key._asdict(), "version": version, "reason": reason, "now": self._sessions.now()}
        return session.changed(_RECORD_DISCARDED, found) > 0

    async def next_due(self) -> float | None:
        row = await self._sessions.read(lambda session: session.row(_NEXT_DUE))
        return None if row is None else (row[0] - self._sessions.now()) / 1e6

    async def tombstones_due(self, *, age: float, limit: int) -> list[Tombstone]:
        parameters = {"before": r.after(self._sessions.now(), -age), "limit": limit}
        rows = await self._sessions.read(lambda session: session.rows(_TOMBSTONES_DUE, parameters))
        return [Tombstone(*row) for row in rows]

    async def collect_tombstones(self, tombstones: Sequence[Tombstone]) -> int:
        if not tombstones:
            return 0
        return await self._sessions.write(partial(_collect, tombstones=tombstones))


def _postponed(postponement: Postponement, now: int) -> tuple[Any, ...]:
    p = postponement
    due_at, dead_at = r.after(now, p.delay), now if p.dead else None
    return p.reason, p.give_back, due_at, dead_at, p.user_id, p.id, str(p.entry_id), p.claim


def _collect(session: Session, tombstones: Sequence[Tombstone]) -> int:
    found = (session.rows(_COLLECT, (t.user_id, t.id, t.version)) for t in tombstones)
    gone: list[Row] = [row for rows in found for row in rows]
    if gone:
        highest, newest = max(version for version, _ in gone), max(number for _, number in gone)
        session.execute(_RAISE_FLOOR, {"version": highest, "number": newest})
    return len(gone)
