"""Exact search: a matrix of each tenant's embeddings is kept in memory, and brought up to the store before it is asked.

It is brought up inside the snapshot that the search reads, by the numbers of the changes: so it does not matter which
process wrote. What does not fit is read from the file, some rows at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from persistence.filters import Filter
from persistence.records import Memory, Vector
from persistence.vector.sqlite import rows as r
from persistence.vector.sqlite.conditions import Conditions
from persistence.vector.sqlite.matrix import Doubles, Hit, Integers, Matrix, best, cosines, row_bytes, stacked, unit
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Row, Session
from persistence.vector.sqlite.sessions import Part, Sessions

_SQL = Queries("search")
_POSITION = _SQL.get("position")
_SIZE = _SQL.get("size")
_EMBEDDINGS = _SQL.get("embeddings")
_GONE = _SQL.get("gone")
_HIT = _SQL.get("hit")


@dataclass
class _Tenant:
    """A tenant's matrix, None where none is in memory. ``position``: the newest change that is in it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    matrix: Matrix | None = None
    position: int = 0


@dataclass(frozen=True)
class _Question:
    """What is searched for. ``query`` has length 1."""

    user_id: str
    query: Doubles
    limit: int
    where: Conditions


class Search(Part):
    """What the port says of search. ``cache_mb``: the most memory that matrices may take together."""

    def __init__(self, sessions: Sessions, cache_mb: int) -> None:
        super().__init__(sessions)
        self._budget = cache_mb * 1_000_000
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()

    async def search(self, user_id: str, vector: Vector, *, limit: int, where: Filter) -> list[tuple[Memory, float]]:
        r.check_dimension(vector, self._bound())
        question = _Question(user_id, unit(vector[np.newaxis])[0], limit, Conditions(where))
        async with self._borrowed(user_id) as tenant:
            return await self._sessions.read(partial(_search, tenant=tenant, question=question, budget=self._budget))

    @asynccontextmanager
    async def _borrowed(self, user_id: str) -> AsyncIterator[_Tenant]:
        """Lend a tenant's matrix to one search at a time; then forget what is too much, the longest unused first."""
        tenant = self._tenants.setdefault(user_id, _Tenant())
        try:
            async with tenant.lock:
                yield tenant
        finally:
            self._tenants[user_id] = tenant
            self._tenants.move_to_end(user_id)
            self._forget()

    def _forget(self) -> None:
        total = sum(_size(tenant) for tenant in self._tenants.values())
        for user_id, tenant in list(self._tenants.items()):
            if not tenant.lock.locked() and (tenant.matrix is None or total > self._budget):
                total -= _size(tenant)
                del self._tenants[user_id]


def _size(tenant: _Tenant) -> int:
    return tenant.matrix.size if tenant.matrix is not None else 0


def _search(session: Session, tenant: _Tenant, question: _Question, budget: int) -> list[tuple[Memory, float]]:
    _bring_up(session, tenant, question.user_id, len(question.query), budget)
    if tenant.matrix is not None:
        hits = tenant.matrix.nearest(question.query, question.limit, _among(session, question))
    else:
        hits = _from_file(session, question)
    rows = ((session.row(_HIT, (hit.number,)), hit.score) for hit in hits)
    return [(r.to_memory(row), score) for row, score in rows if row is not None]


def _bring_up(session: Session, tenant: _Tenant, user_id: str, dimension: int, budget: int) -> None:
    """Bring a matrix up to the snapshot. Interrupted, it is done once more: a change applied twice is one."""
    newest, forgotten = session.one(_POSITION)
    if not forgotten <= tenant.position <= newest:
        # A delete may have been collected unseen, or the file is another one: nothing of it can be relied on.
        tenant.matrix = None
    if tenant.matrix is None:
        count = session.number(_SIZE, {"user_id": user_id})
        if count * row_bytes(dimension) > budget:
            return
        tenant.matrix, tenant.position = Matrix(dimension, count + count // 8), 0
    if tenant.position < newest:
        _apply(session, tenant.matrix, {"user_id": user_id, "after": tenant.position})
        tenant.position = newest


def _apply(session: Session, matrix: Matrix, since: dict[str, Any]) -> None:
    for chunk in session.chunks(_EMBEDDINGS, since):
        ids, numbers, embeddings = zip(*chunk, strict=True)
        matrix.put(ids, numbers, stacked(embeddings))
    for chunk in session.chunks(_GONE, since):
        for (memory_id,) in chunk:
            matrix.remove(memory_id)


def _among(session: Session, question: _Question) -> Integers | None:
    """Return the numbers of what passes the filter; None where everything does."""
    if question.where.everything:
        return None
    found = session.chunks(_SQL.get("numbers", where=question.where.sql), _parameters(question))
    return np.fromiter((number for chunk in found for (number,) in chunk), dtype=np.int64)


def _from_file(session: Session, question: _Question) -> list[Hit]:
    hits: list[Hit] = []
    for chunk in session.chunks(_SQL.get("matching", where=question.where.sql), _parameters(question)):
        hits = best([*hits, *_scored(chunk, question.query)], question.limit)
    return hits


def _scored(chunk: list[Row], query: Doubles) -> list[Hit]:
    scores = cosines(stacked([row[2] for row in chunk]), query)
    return [Hit(float(s), memory_id, number) for s, (memory_id, number, _) in zip(scores, chunk, strict=True)]


def _parameters(question: _Question) -> dict[str, Any]:
    return {"user_id": question.user_id, **question.where.parameters}
