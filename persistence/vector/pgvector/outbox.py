"""The outbox: entries are settled, claimed, given back, listed; tombstones are collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from persistence.ports.outbox import Key, OutboxEntry, Postponement, Settlement
from persistence.ports.vector import Tombstone
from persistence.results import OutboxStats
from persistence.vector.pgvector.queries import ENTRY, Queries
from persistence.vector.pgvector.rows import to_entry
from persistence.vector.pgvector.session import Part

_SQL = Queries("outbox")
_SETTLE = _SQL.get("settle")
_RELEASE = _SQL.get("release")
_CLAIM = _SQL.get("claim", entry=ENTRY)
_POSTPONE = _SQL.get("postpone")
_STATS = _SQL.get("stats")
_STATS_TENANT = _SQL.get("stats_tenant")
_OLDEST = _SQL.get("oldest")
_PAGE = _SQL.get("page", entry=ENTRY)
_PENDING = _SQL.get("pending", entry=ENTRY)
_REVIVE = _SQL.get("revive")
_REVIVE_ALL = _SQL.get("revive_all")
_DISCARD = _SQL.get("discard")
_NEXT_DUE = _SQL.get("next_due")
_TOMBSTONES_DUE = _SQL.get("tombstones_due")
_COLLECT = _SQL.get("collect")

_FIRST = Key("", "")


class Outbox(Part):
    """What the port says of the outbox and of tombstones."""

    async def _rows(self, query: bytes, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self._sessions.use(write=True) as connection:
            return await (await connection.execute(query, parameters, binary=True)).fetchall()

    async def _number(self, query: bytes, **parameters: Any) -> int:
        ((number,),) = await self._rows(query, **parameters)
        return int(number)

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        if not settlements:
            return 0
        return await self._number(_SETTLE, **_settlements(settlements), versions=[s.version for s in settlements])

    async def release(self, settlements: Sequence[Settlement]) -> None:
        if settlements:
            await self._rows(_RELEASE, **_settlements(settlements))

    async def claim(self, *, limit: int, lease: float) -> list[OutboxEntry]:
        return [to_entry(row) for row in await self._rows(_CLAIM, limit=limit, lease=float(lease))]

    async def postpone(self, postponements: Sequence[Postponement]) -> int:
        if not postponements:
            return 0
        return await self._number(
            _POSTPONE,
            **_keys([Key(p.user_id, p.id) for p in postponements]),
            entry_ids=[p.entry_id for p in postponements],
            claims=[p.claim for p in postponements],
            delays=[float(p.delay) for p in postponements],
            reasons=[p.reason for p in postponements],
            give_back=[p.give_back for p in postponements],
            dead=[p.dead for p in postponements],
        )

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        query = _STATS if user_id is None else _STATS_TENANT
        ((pending, dead, oldest, disabled),) = await self._rows(query, bound=bound, user_id=user_id)
        if pending > bound and user_id is None:
            ((oldest,),) = await self._rows(_OLDEST)
        exact = pending <= bound and dead <= bound
        return OutboxStats(min(pending, bound), min(dead, bound), oldest, min(disabled, bound), exact)

    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]:
        start = after or _FIRST
        rows = await self._rows(
            _PAGE, dead=dead, after_user=start.user_id, after_id=start.id, limit=limit, user_id=user_id
        )
        return [to_entry(row) for row in rows]

    async def pending(self, keys: Sequence[Key]) -> dict[Key, OutboxEntry]:
        if not keys:
            return {}
        entries = [to_entry(row) for row in await self._rows(_PENDING, **_keys(keys))]
        return {entry.key: entry for entry in entries}

    async def revive(self, keys: Sequence[Key] | None) -> int:
        if keys is None:
            return await self._number(_REVIVE_ALL)
        return await self._number(_REVIVE, **_keys(keys)) if keys else 0

    async def discard(self, key: Key, entry_id: UUID) -> bool:
        parameters = {"user_id": key.user_id, "id": key.id, "entry_id": entry_id}
        async with self._sessions.use(write=True) as connection:
            return (await connection.execute(_DISCARD, parameters)).rowcount > 0

    async def next_due(self) -> float | None:
        rows = await self._rows(_NEXT_DUE)
        return float(rows[0][0]) if rows else None

    async def tombstones_due(self, *, age: float, limit: int) -> list[Tombstone]:
        return [Tombstone(*row) for row in await self._rows(_TOMBSTONES_DUE, age=float(age), limit=limit)]

    async def collect_tombstones(self, tombstones: Sequence[Tombstone]) -> int:
        if not tombstones:
            return 0
        keys = _keys([Key(t.user_id, t.id) for t in tombstones])
        return await self._number(_COLLECT, **keys, versions=[t.version for t in tombstones])


def _keys(keys: Sequence[Key]) -> dict[str, list[str]]:
    return {"user_ids": [key.user_id for key in keys], "ids": [key.id for key in keys]}


def _settlements(settlements: Sequence[Settlement]) -> dict[str, list[Any]]:
    return {
        "user_ids": [s.user_id for s in settlements],
        "ids": [s.id for s in settlements],
        "entry_ids": [s.entry_id for s in settlements],
    }
