"""What runs found: recorded, seen again, resolved, listed. Whatever a run writes is fenced by its token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from uuid import UUID

from persistence.errors import LeaseLostError
from persistence.ports.runs import Depth, Inconsistency, InconsistencyQuery, Kind, Recorded, RunState
from persistence.vector.memory.run_rows import Found, RunRow, to_recorded
from persistence.vector.memory.state import State, Table, Transaction, identity_of
from persistence.vector.memory.storage import Part
from persistence.vector.memory.times import later, micros


def held(tx: Transaction, run_id: UUID, token: int) -> RunRow:
    """Return a run for whoever holds it. Raises LeaseLostError."""
    run: RunRow | None = tx.get(Table.RUNS, run_id)
    if run is None or run.token != token or run.state is not RunState.RUNNING:
        raise LeaseLostError
    return run


def keep(tx: Transaction, one: Inconsistency, run_id: UUID | None) -> None:
    """Record an inconsistency, or see again the one that is open."""
    number = tx.state.open.get(identity_of(one))
    former: Found | None = None if number is None else tx.get(Table.FOUND, number)
    if former is None:
        tx.say(replace(tx.about, numbers=tx.about.numbers + 1))
        former = Found(tx.about.numbers, one, run_id, tx.moment, tx.moment)
    last_seen = max(former.last_seen, tx.moment)
    tx.put(Table.FOUND, former.number, replace(former, one=one, run_id=run_id or former.run_id, last_seen=last_seen))


class FoundPart(Part):
    """What the port says of inconsistencies."""

    async def record(self, run_id: UUID, token: int, found: Sequence[Inconsistency]) -> None:
        distinct = {identity_of(one): one for one in found}

        def work(tx: Transaction) -> None:
            held(tx, run_id, token)
            for one in distinct.values():
                keep(tx, one, run_id)

        if distinct:
            await self._open().commit(work, len(distinct))

    async def resolve_mended(self, run_id: UUID, token: int, mended: Sequence[Inconsistency]) -> int:
        def work(tx: Transaction) -> int:
            held(tx, run_id, token)
            numbers = {tx.state.open.get(identity_of(one)) for one in mended} - {None}
            return _resolve(tx, run_id, [tx.get(Table.FOUND, number) for number in numbers])

        return await self._open().commit(work, len(mended)) if mended else 0

    async def resolve_unseen(self, run_id: UUID, token: int, user_id: str | None, depth: Depth, since: datetime) -> int:
        before = micros(since)

        def work(tx: Transaction) -> int:
            held(tx, run_id, token)
            every = [tx.state.found[number] for number in tx.state.open.values()]
            visible = [f for f in every if f.last_seen < before and f.one.depth.rank <= depth.rank]
            return _resolve(tx, run_id, [f for f in visible if user_id in {None, f.one.user_id}])

        return await self._open().commit(work, len(self._open().state.open))

    async def inconsistencies(self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        def work(state: State) -> list[Recorded]:
            numbers = sorted(number for number in state.found if number > after)
            chosen = (found for number in numbers if _asked(found := state.found[number], query))
            return [to_recorded(found) for found in islice(chosen, limit)]

        return await self._open().view(work)

    async def count_open(self, user_id: str | None, *, bound: int = 100_000) -> dict[Kind, int]:
        def work(state: State) -> dict[Kind, int]:
            kinds = (Kind(kind) for user, _, kind, _ in state.open if user_id in {None, user})
            return dict(Counter(islice(kinds, bound)))

        return await self._open().view(work)

    async def remove_found(self, user_id: str, memory_id: str | None, *, limit: int = 1_000) -> int:
        def work(tx: Transaction) -> int:
            every = (f for f in tx.state.found.values() if f.one.user_id == user_id)
            gone = list(islice((f.number for f in every if memory_id in {None, f.one.memory_id}), limit))
            for number in gone:
                tx.remove(Table.FOUND, number)
            return len(gone)

        return await self._open().commit(work, len(self._open().state.found))

    async def _prune_resolved(self, age: float, limit: int) -> int:
        def work(tx: Transaction) -> int:
            before = later(tx.moment, -age)
            resolved = [(f.resolved_at, f.number) for f in tx.state.found.values() if f.resolved_at is not None]
            gone = sorted(item for item in resolved if item[0] < before)[:limit]
            for _, number in gone:
                tx.remove(Table.FOUND, number)
            return len(gone)

        return await self._open().commit(work, len(self._open().state.found))


def _resolve(tx: Transaction, run_id: UUID, found: Sequence[Found]) -> int:
    for one in found:
        tx.put(Table.FOUND, one.number, replace(one, resolved_at=tx.moment, resolved_by=run_id))
    return len(found)


def _asked(found: Found, query: InconsistencyQuery) -> bool:
    return (
        query.user_id in {None, found.one.user_id}
        and query.kind in {None, found.one.kind}
        and query.run_id in {None, found.run_id}
        and query.open in {None, found.resolved_at is None}
    )
