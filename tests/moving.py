"""Truths to move between, what is in them, and somebody who goes on writing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from persistence import PersistenceConfig
from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone, VectorStore
from persistence.records import Memory
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, vector_of

USERS = ("ada", "bob", "Zoë 🜚")
Make = Callable[[], VectorStore]


def config(**given: Any) -> PersistenceConfig:
    return PersistenceConfig(**{"sync_batch": 50, "run_lease": 1.0, **given})


@asynccontextmanager
async def opened(make: Make, model: str = "test", dimension: int = DIMENSION) -> AsyncIterator[VectorStore]:
    store = make()
    try:
        await store.open(model=model, dimension=dimension)
        yield store
    finally:
        await store.close()


async def fill(store: VectorStore, each: int = 150) -> None:
    """Store memories of several tenants, replace some, delete some."""
    for user in USERS:
        await store.write_many([a_write(f"m{i:04}", user, digest=i) for i in range(each)], AT_ONCE)
        await store.write_many([a_write(f"m{i:04}", user, digest=i + 1) for i in range(0, each, 5)], AT_ONCE)
        await store.delete_many([a_delete(f"m{i:04}", user) for i in range(0, each, 7)], AT_ONCE)


async def dump(store: VectorStore) -> tuple[list[Memory], list[Tombstone], int]:
    """Return all there is to be moved."""
    memories: list[Memory] = []
    after: Key | None = None
    while page := await store.walk(None, after=after, limit=500, embeddings=True):
        memories += page
        after = Key(page[-1].user_id, page[-1].id)
    return memories, await store.tombstones(None, after=None, limit=100_000), (await store.info()).floor


async def everything(store: VectorStore) -> tuple[Any, ...]:
    """Return also what a move must not touch at its source: outbox and runs."""
    return await dump(store), await store.outbox_page(dead=None, after=None, limit=100_000), await store.info()


class Writer:
    """Goes on storing, replacing and deleting memories until it is stopped; ``done``: how many changes it made."""

    def __init__(self, store: VectorStore, seed: int, span: int = 200, dimension: int = DIMENSION) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._span = span
        self._dimension = dimension
        self.done = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _work(self) -> None:
        while True:
            user = self._random.choice(USERS)
            memory_id = f"m{self._random.randrange(self._span):04}"
            if self._random.random() < 0.3:
                await self._store.delete_many([a_delete(memory_id, user)], AT_ONCE)
            else:
                fields = {"digest": self._random.randrange(2**63), "embedding": vector_of(memory_id, self._dimension)}
                await self._store.write(a_write(memory_id, user, **fields), AT_ONCE)
            self.done += 1
            await asyncio.sleep(0.002)
