"""The reads: by key, by page, by nearness, by what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from persistence.errors import VectorStoreError
from persistence.filters import Filter, matches
from persistence.ports.outbox import Key
from persistence.ports.vector import Changes, Tombstone, Truth
from persistence.records import Memory, Vector
from persistence.results import Count
from persistence.vector.memory.matrix import View, nearest
from persistence.vector.memory.rows import Row, to_memory
from persistence.vector.memory.state import State
from persistence.vector.memory.storage import Part, Storage
from persistence.vector.memory.tenant import Tenant
from persistence.vector.memory.writes import check

#: Rows looked at for one page of a filter before the next page of ids is taken.
_SCAN = 1_000


class Reads(Part):
    """What the port says of reads."""

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        return await self._open().view(lambda state: _read(state, keys, embeddings=embeddings), len(keys))

    async def page(
        self, user_id: str, *, after: str | None, limit: int, where: Filter, embeddings: bool = False
    ) -> list[Memory]:
        def work(state: State) -> list[Memory]:
            rows = _page(state.tenant(user_id), after, limit, where)
            return [to_memory(row, embeddings=embeddings) for row in rows]

        return await self._open().view(work, limit if where.empty else None)

    async def search(self, user_id: str, vector: Vector, *, limit: int, where: Filter) -> list[tuple[Memory, float]]:
        """Look at the tenant's embeddings in a thread, and not under the lock: writers go on meanwhile."""
        storage = self._open()
        check(vector, storage.state.about.dimension or 0)
        return await asyncio.to_thread(_search, storage, user_id, vector, limit, where)

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        counted = await self._open().view(lambda state: sum(len(t.memories) for t in state.chosen(user_id)), 1)
        return Count(counted, exact=True) if counted <= bound else Count(bound, exact=False)

    async def changes(self, user_id: str, *, cursor: str | None, limit: int) -> Changes:
        after = _position(cursor)
        return await self._open().view(lambda state: _changes(state.tenant(user_id), user_id, after, limit), limit)


def _read(state: State, keys: Sequence[Key], *, embeddings: bool) -> dict[Key, Truth]:
    found = {key: _truth(state.tenant(key.user_id), key, embeddings=embeddings) for key in keys}
    return {key: truth for key, truth in found.items() if truth.version is not None}


def _truth(tenant: Tenant, key: Key, *, embeddings: bool) -> Truth:
    row, grave = tenant.memories.get(key.id), tenant.tombstones.get(key.id)
    return Truth(
        None if row is None else to_memory(row, embeddings=embeddings),
        None if grave is None else Tombstone(*key, grave.version),
    )


def _page(tenant: Tenant, after: str | None, limit: int, where: Filter) -> list[Row]:
    if where.empty:
        return [tenant.memories[memory_id] for memory_id in tenant.ids.after(after, limit)]
    found: list[Row] = []
    while len(found) < limit and (ids := tenant.ids.after(after, _SCAN)):
        found += [row for row in map(tenant.memories.__getitem__, ids) if _passes(row, where)]
        after = ids[-1]
    return found[:limit]


def _passes(row: Row, where: Filter) -> bool:
    return matches(where, row.agent_id, row.run_id, row.filterable if where.conditions else {})


def _search(storage: Storage, user_id: str, vector: Vector, limit: int, where: Filter) -> list[tuple[Memory, float]]:
    with storage.lock:
        matrix = storage.state.tenant(user_id).matrix
        matrix.enter()
        view = View(matrix)
    try:
        hits = nearest(view, vector, limit, view.live if where.empty else _wanted(view, where))
    finally:
        with storage.lock:
            matrix.leave()
    return [(to_memory(row), score) for row, score in hits]


def _wanted(view: View, where: Filter) -> npt.NDArray[np.bool_]:
    live = view.live
    passing = (_passes(view.row(place), where) for place in np.flatnonzero(live).tolist())
    live[live] = np.fromiter(passing, dtype=bool, count=np.count_nonzero(live))
    return live


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal():
        raise VectorStoreError("This cursor is none of this vector store's feed.")
    return int(cursor)


def _changes(tenant: Tenant, user_id: str, after: int, limit: int) -> Changes:
    """Return a page of the feed. Changes are numbered as they are made, under one lock, so none can be missed."""
    changed = tenant.changed(after, limit)
    ids = [memory_id for _, memory_id in changed]
    graves = [tenant.tombstones[memory_id] for memory_id in ids if memory_id in tenant.tombstones]
    return Changes(
        memories=tuple(to_memory(tenant.memories[memory_id]) for memory_id in ids if memory_id in tenant.memories),
        tombstones=tuple(Tombstone(user_id, grave.id, grave.version) for grave in graves),
        cursor=str(changed[-1][0] if changed else after),
        more=len(changed) == limit,
    )
