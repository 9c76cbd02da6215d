"""What the search box finds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from api.dashboard.views.reading import PAGE_TIME, obtained
from api.http.host import Host
from persistence import Memory
from persistence.errors import InvalidInputError, PersistenceError
from persistence.results import SearchHit

PAGE, HITS = 50, 20


@dataclass(frozen=True, slots=True)
class Found:
    """``exact``: the memory of that very id. ``page``: memories by id, where nothing was asked for.

    ``error``: why the search by meaning gave nothing. ``tenants``: some that are known, to choose from.
    """

    exact: Memory | None = None
    hits: tuple[SearchHit, ...] = ()
    page: tuple[Memory, ...] = ()
    next: str | None = None
    error: str | None = None
    tenants: tuple[str, ...] = ()


async def find(host: Host, tenant: str | None, text: str, after: str | None) -> Found:
    """Look for a text in one tenant. Raises VectorStoreError, InvalidInputError."""
    if tenant is None:
        return Found(tenants=await _tenants(host))
    if not text:
        page = await host.memories.get_all(user_id=tenant, after=after, limit=PAGE, timeout=PAGE_TIME)
        return Found(page=page.memories, next=page.next)
    exact, (hits, error) = await asyncio.gather(_exact(host, tenant, text), _near(host, tenant, text))
    return Found(exact, tuple(hit for hit in hits if exact is None or hit.memory.id != exact.id), error=error)


async def _exact(host: Host, tenant: str, memory_id: str) -> Memory | None:
    """Return the memory of that id; a text that cannot be an id is the id of none."""
    try:
        return await host.memories.get(memory_id, user_id=tenant, timeout=PAGE_TIME)
    except InvalidInputError as error:
        if error.field != "id":
            raise
        return None


async def _near(host: Host, tenant: str, text: str) -> tuple[tuple[SearchHit, ...], str | None]:
    try:
        return (await host.memories.search(text, user_id=tenant, limit=HITS, timeout=PAGE_TIME)).hits, None
    except PersistenceError as error:
        return (), error.message


async def _tenants(host: Host) -> tuple[str, ...]:
    """Return tenants that stand in the newest runs and the first open inconsistencies; no store lists them all."""
    runs = await obtained(host.sync.list_runs(limit=PAGE))
    rows = await obtained(host.sync.list_inconsistencies(limit=PAGE))
    named = [run.user_id for run in runs or ()] + [row.inconsistency.user_id for row in rows or ()]
    return tuple(sorted({name for name in named if name is not None}))
