"""The application on stores of the test's own, and clients of it that act for one principal or another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import Request

from api.access import ADMIN, LOCAL, Principal, Scope
from api.http import ApiConfig, Host, create_app, hosting
from persistence import AsyncPersistenceService, Key, PersistenceConfig
from persistence.errors import GraphUnavailableError, PersistenceError, VectorStoreUnavailableError
from persistence.graph.memory import FileGraph
from persistence.ports.graph import GraphAck, GraphCounts, GraphWrite
from persistence.ports.outbox import Postponement
from persistence.ports.runs import Run, RunQuery
from persistence.ports.vector import Truth
from persistence.results import Count, OutboxStats, Outcome
from persistence.vector.memory import MemoryStore, Storage

#: Makes a client that acts for a principal with this scope and tenant.
ClientAs = Callable[..., httpx.AsyncClient]


class Moody:
    """Whether a store is down, or hangs: what a test sets, its calls obey."""

    down: type[PersistenceError] | None = None
    hangs = False
    heeded = 0

    async def heed(self) -> None:
        self.heeded += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.down is not None:
            raise self.down


class MoodyTruth(Moody, MemoryStore):
    """A truth in memory that can be away, or not count, and says how often it was to count."""

    count_down = False
    counted = 0

    async def ping(self) -> str:
        await self.heed()
        return await super().ping()

    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count:
        await self.heed()
        self.counted += 1
        if self.count_down:
            raise VectorStoreUnavailableError
        return await super().count(user_id, bound=bound)

    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
        await self.heed()
        return await super().read(keys, embeddings=embeddings)

    async def outbox_stats(self, user_id: str | None = None, *, bound: int = 10_000) -> OutboxStats:
        await self.heed()
        return await super().outbox_stats(user_id, bound=bound)

    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]:
        await self.heed()
        return await super().runs(query, before=before, limit=limit)


class MoodyGraph(Moody, FileGraph):
    """A graph in files that can be away."""

    async def ping(self) -> str:
        await self.heed()
        return await super().ping()

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        await self.heed()
        return await super().apply(writes, timeout=timeout)

    async def counts(self, user_id: str | None, *, bound: int = 100_000) -> GraphCounts:
        await self.heed()
        return await super().counts(user_id, bound=bound)


@pytest.fixture
def truth() -> MoodyTruth:
    return MoodyTruth(Storage())


@pytest.fixture
def graph(tmp_path: Path) -> MoodyGraph:
    return MoodyGraph(tmp_path / "graph")


@pytest.fixture
async def memories(truth: MoodyTruth, graph: MoodyGraph) -> AsyncIterator[AsyncPersistenceService]:
    """Open a service on a truth in memory, and on a graph in files, which has a say over the outbox."""
    config = PersistenceConfig(enable_relay=False, breaker_failures=100)
    async with AsyncPersistenceService.connect(vector=truth, graph=graph, config=config) as service:
        yield service


@pytest.fixture
def bury(truth: MoodyTruth, graph: MoodyGraph, memories: AsyncPersistenceService) -> Callable[..., Awaitable[Key]]:
    """Return what stores a memory, and has its outbox entry die."""

    async def bury(**asked: Any) -> Key:
        graph.down = GraphUnavailableError
        stored = await memories.store(**asked)
        graph.down = None
        assert stored.outcome is Outcome.PENDING
        await memories.parts.settler.flush()
        async with asyncio.timeout(10):
            while not (claimed := await truth.claim(limit=100, lease=60)):  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0)  # the writer gives its lease back on the side
        for entry in claimed:
            await truth.postpone([Postponement(*entry.key, entry.entry_id, entry.claim, 0.0, "poison", dead=True)])
        return Key(stored.user_id, stored.id)

    return bury


@pytest.fixture
async def host(memories: AsyncPersistenceService) -> AsyncIterator[Host]:
    async with hosting(memories, ApiConfig()) as host:
        yield host


@pytest.fixture
async def client_as(host: Host) -> AsyncIterator[ClientAs]:
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def make(scope: Scope = ADMIN, user_id: str | None = None) -> httpx.AsyncClient:
            clients.append(client_of(host, Principal("test", frozenset([scope]), user_id)))
            stack.push_async_callback(clients[-1].aclose)
            return clients[-1]

        yield make


@pytest.fixture
async def client(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that may do everything."""
    async with client_of(host, LOCAL) as client:
        yield client


def client_of(host: Host, principal: Principal) -> httpx.AsyncClient:
    async def authenticate(request: Request) -> Principal:
        return principal

    transport = httpx.ASGITransport(create_app(host, authenticate=authenticate))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.fixture
def ada() -> dict[str, Any]:
    """Return a memory to store, with two entities and a relationship."""
    return memory("Ada works at Babbage & Co.", entities=["Ada", "Babbage & Co."])


def memory(content: str, entities: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    """Make the body of a request that stores a memory of u1; the first entity knows each of the others."""
    first, *others = [*entities] or [None]
    return {
        "content": content,
        "user_id": "u1",
        "entities": [{"name": name, "type": "Thing"} for name in entities],
        "relationships": [{"source": first, "type": "KNOWS", "target": other} for other in others],
        **more,
    }
