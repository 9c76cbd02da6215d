"""One memory: both copies, its versions, its outbox entry, its inconsistencies, its neighbourhood."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from api.dashboard.views.copies import Copies, compare
from api.dashboard.views.drawing import Drawing, draw
from api.dashboard.views.reading import PAGE_TIME, of_graph, of_truth
from api.http.host import Host
from persistence import Key
from persistence.errors import GraphStoreError, MemoryNotFoundError, PersistenceError
from persistence.gates import GraphRole
from persistence.ports.graph import GraphMemory
from persistence.ports.outbox import OutboxEntry
from persistence.ports.runs import Recorded
from persistence.ports.vector import Truth
from persistence.projection import project
from persistence.results import SearchHit
from persistence.retry import Deadline

#: Memories of the neighbourhood that are shown.
RELATED = 8
#: Inconsistencies of the tenant that are looked through for those of one memory.
LOOKED_THROUGH = 1_000


@dataclass(frozen=True, slots=True)
class GraphCopy:
    """What the graph has of a memory; ``error``: why that could not be read."""

    memory: GraphMemory | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Inconsistencies of one memory. ``whole`` False: the tenant has more than were looked through."""

    open: tuple[Recorded, ...]
    former: tuple[Recorded, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What the page of one memory shows."""

    key: Key
    truth: Truth | None
    graph: GraphCopy
    entry: OutboxEntry | None
    history: History
    related: tuple[SearchHit, ...]
    degraded: str | None
    copies: Copies
    drawing: Drawing

    @property
    def known(self) -> bool:
        """Whether anything is known under this id."""
        return bool(self.truth or self.graph.memory or self.entry or self.history.open or self.history.former)


async def read_memory(host: Host, key: Key) -> MemoryView:
    """Read everything of one memory. Raises VectorStoreError."""
    parts = host.memories.parts
    truths, graph, entries, history = await asyncio.gather(
        of_truth(parts, lambda store: store.read([key])),
        _graph_copy(host, key),
        of_truth(parts, lambda store: store.pending([key])),
        _history(host, key),
    )
    truth = truths.get(key)
    related, degraded = await _related(host, key) if truth and truth.memory else ((), None)
    fragment = project(truth.memory) if truth and truth.memory else None
    read = graph.error is None
    return MemoryView(
        key,
        truth,
        graph,
        entries.get(key),
        history,
        related,
        degraded,
        compare(truth, graph.memory, read=read),
        draw(key.id, fragment, graph.memory, related, read=read),
    )


async def _graph_copy(host: Host, key: Key) -> GraphCopy:
    """Read what the graph has, also of what truth knows nothing of."""
    parts = host.memories.parts
    if parts.graph.role is GraphRole.DISABLED:
        return GraphCopy(error="This service has no graph store.")
    try:
        await parts.follower.follow(key.user_id, Deadline(PAGE_TIME))
        found = await of_graph(parts, lambda graph: graph.read([key]))
    except GraphStoreError as error:
        return GraphCopy(error=error.message)
    return GraphCopy(found.get(key))


async def _related(host: Host, key: Key) -> tuple[tuple[SearchHit, ...], str | None]:
    try:
        found = await host.memories.related(key.id, user_id=key.user_id, limit=RELATED, timeout=PAGE_TIME)
    except MemoryNotFoundError:
        return (), None
    except PersistenceError as error:
        return (), error.message
    return found.hits, found.degraded


async def _history(host: Host, key: Key) -> History:
    """Look through the tenant's inconsistencies: truth lists them by number, not by memory."""
    opened, former = await asyncio.gather(
        host.sync.list_inconsistencies(user_id=key.user_id, open=True, limit=LOOKED_THROUGH),
        host.sync.list_inconsistencies(user_id=key.user_id, open=False, limit=LOOKED_THROUGH),
    )
    whole = max(len(opened), len(former)) < LOOKED_THROUGH
    return History(_of(key, opened), _of(key, former), whole)


def _of(key: Key, rows: Sequence[Recorded]) -> tuple[Recorded, ...]:
    return tuple(row for row in rows if row.inconsistency.memory_id == key.id)


def written_about(version: int | None) -> datetime | None:
    """Return when a version was given out: it is the microseconds since 1970, or one more than the version before."""
    if version is None:
        return None
    try:
        return datetime.fromtimestamp(version / 1e6, UTC)
    except (OverflowError, ValueError, OSError):
        return None
