"""The vector store in this process's memory, alone or kept in files: the parts of this package, as the port asks."""

from __future__ import annotations

import asyncio
import platform
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from persistence.errors import EmbeddingMismatchError
from persistence.ports.capabilities import Capability
from persistence.ports.reader import Reader
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.memory.checking import Checking
from persistence.vector.memory.images import Captured, read, restore, take
from persistence.vector.memory.outbox import OutboxPart
from persistence.vector.memory.reader import Reading, info_of
from persistence.vector.memory.reads import Reads
from persistence.vector.memory.rows import About, Entry
from persistence.vector.memory.runs import Runs
from persistence.vector.memory.state import Table, Transaction
from persistence.vector.memory.storage import Storage
from persistence.vector.memory.transfer import Transfers
from persistence.vector.memory.writes import Writes


class MemoryStore(Reads, Writes, Transfers, OutboxPart, Checking, Runs):
    """The truth in memory. ``storage``: where its rows are, which other stores may share; None: a new one.

    Search is exact. There is no vector index, so a load has none to put off.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        super().__init__(storage or Storage())

    @property
    def kind(self) -> str:
        return self._storage.kind

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._storage.capabilities

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found damaged in the files when they were opened, and what was done about it, a sentence each."""
        return self._storage.notices

    async def open(self, *, model: str, dimension: int) -> StoreInfo:
        token = self._token = self._token or await self._storage.open()
        try:
            return await self._storage.commit(lambda tx: info_of(_bind(tx, model, dimension)), 1)
        except BaseException:
            self._token = None
            await self._storage.close(token)
            raise

    async def close(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            await self._storage.close(token)

    async def ping(self) -> str:
        return f"Python {platform.python_version()}, {self._open().place}"

    async def info(self) -> StoreInfo:
        return await self._open().view(lambda state: info_of(state.about), 1)

    async def register_graph(self, identity: GraphIdentity, *, former: GraphIdentity | None) -> GraphIdentity:
        def work(tx: Transaction) -> GraphIdentity:
            known = tx.about.graph
            if known is not None and known != former:
                return known
            tx.say(replace(tx.about, graph=identity))
            if identity != known:
                _list_everything(tx)
            return identity

        return await self._open().commit(work, self._open().state.size)

    async def durability(self) -> list[str]:
        """Return a sentence for each thing that makes an acknowledged write less than durable."""
        return self._open().weaknesses

    async def begin_load(self) -> bool:
        self._open()
        return False

    async def end_load(self) -> None:
        self._open()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        capturing = asyncio.ensure_future(asyncio.to_thread(Captured, self._open()))
        try:
            captured = await asyncio.shield(capturing)
        except asyncio.CancelledError:
            capturing.add_done_callback(lambda done: done.result().close())
            raise
        try:
            yield await asyncio.to_thread(Reading, captured)
        finally:
            captured.close()

    async def snapshot(self) -> bytes:
        """Return everything that is here, as one value for ``restore``."""
        return await asyncio.to_thread(take, self._open())

    async def restore(self, image: bytes) -> None:
        """Put a snapshot in the place of all that is here; where there is a graph, everything is listed for it.

        Raises VectorStoreError where the snapshot is damaged, EmbeddingMismatchError, SchemaTooNewError.
        """
        storage = self._open()
        rows = await asyncio.to_thread(read, image)
        await storage.commit(lambda tx: restore(tx, rows), len(rows))


def _bind(tx: Transaction, model: str, dimension: int) -> About:
    """Record the embedding model of a new store, or compare it with the one recorded."""
    about = tx.about
    if about.dimension is None:
        tx.say(replace(about, model=model, dimension=dimension))
    elif (about.model, about.dimension) != (model, dimension):
        raise EmbeddingMismatchError(
            f"The vector store holds embeddings of {about.model!r} with {about.dimension} dimensions,"
            f" not of {model!r} with {dimension}."
        )
    return tx.about


def _list_everything(tx: Transaction) -> None:
    """List every memory and tombstone, under a new id.

    Whoever was about to settle an entry (for another graph, perhaps) misses it.
    """
    for tenant in tx.state.tenants.values():
        places = [(row.user_id, row.id, row.version) for row in tenant.memories.values()]
        places += [(grave.user_id, grave.id, grave.version) for grave in tenant.tombstones.values()]
        for user_id, memory_id, version in places:
            _list(tx, Entry(user_id, memory_id, str(uuid.uuid4()), version, 0, tx.moment, tx.moment))


def _list(tx: Transaction, fresh: Entry) -> None:
    former: Entry | None = tx.get(Table.OUTBOX, fresh.key)
    if former is not None:
        fresh = replace(
            fresh,
            version=max(former.version, fresh.version),
            created_at=former.created_at,
            reason=former.reason,
            forced=former.forced,
        )
    tx.put(Table.OUTBOX, fresh.key, fresh)
