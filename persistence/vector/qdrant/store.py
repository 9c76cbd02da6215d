"""The vector store on Qdrant: the parts of this package, put together as the port asks."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from persistence.ports.capabilities import Capability
from persistence.ports.reader import Reader
from persistence.ports.schema import SchemaState, state_without_steps
from persistence.ports.vector import StoreInfo
from persistence.vector.qdrant.binding import Binding
from persistence.vector.qdrant.checking import Checking
from persistence.vector.qdrant.engine import Engine, Put
from persistence.vector.qdrant.feed import Feed
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.outbox import Outbox
from persistence.vector.qdrant.runs import Runs
from persistence.vector.qdrant.session import SCHEMA_VERSION, any_memory
from persistence.vector.qdrant.terms import Ids
from persistence.vector.qdrant.tombstones import Tombstones
from persistence.vector.qdrant.transfer import Transfers
from persistence.vector.qdrant.writes import Writes

#: What a store of one process can do. Qdrant has no transactions, and no sums.
_ALONE = frozenset({Capability.DURABLE, Capability.VECTOR_INDEX})
#: The lease of whoever puts off the vector index, in seconds; each batch that it writes renews it.
_LOAD = "load"
_LOAD_LEASE = 600.0


class QdrantStore(Checking, Feed, Writes, Transfers, Outbox, Tombstones, Runs, Binding):
    """The truth on Qdrant. Nothing is connected before ``open``.

    ``collection``: where the memories are; runs and what they found are in ``<collection>_runs``. ``auto_upgrade``:
    whether ``open`` may make them.
    """

    def __init__(self, engine: Engine, *, collection: str = "diptych", auto_upgrade: bool = True) -> None:
        super().__init__(engine, collection)
        self._auto_upgrade = auto_upgrade
        self._is_open = False
        self._loader: uuid.UUID | None = None

    @property
    def kind(self) -> str:
        return self._engine.kind

    @property
    def capabilities(self) -> frozenset[Capability]:
        return _ALONE | {Capability.SHARED} if self._engine.shared else _ALONE

    async def open(self, *, model: str, dimension: int) -> StoreInfo:
        await self._engine.open()
        self._is_open = True
        try:
            info = await self._engine.run(lambda: self._bind(model, dimension, make=self._auto_upgrade), write=True)
        except BaseException:
            await self.close()
            raise
        self._dimension = dimension
        return info

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._dimension = None
        try:
            if self._loader is not None:
                await self._give_up_load()
        finally:
            await self._engine.close()

    async def schema_state(self) -> SchemaState:
        """Say whether this code can work with the layout that is there; nothing is made."""
        if not await self._engine.can_open(self._memories):
            return state_without_steps(0, SCHEMA_VERSION, 0)
        await self._engine.open()
        try:
            version, needs = await self._engine.run(self._schema_versions)
        finally:
            await self._engine.close()
        return state_without_steps(version, SCHEMA_VERSION, needs)

    async def ping(self) -> str:
        return f"Qdrant {await self._engine.version()}"

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """Lend the store itself: nothing here stands still."""
        await self.info()
        yield self

    # --- bulk loads ---------------------------------------------------------------------------------------------------

    async def begin_load(self) -> bool:
        """Put off the index: of an empty store, or one that a load left without it."""
        if self._loader is not None:
            return False
        loader = uuid.uuid4()
        if await self.hold(_LOAD, holder=loader, lease=_LOAD_LEASE) is None:
            return False
        self._loader = loader
        put_off = False
        try:
            put_off = await self._engine.run(self._put_off, write=True)
        finally:
            if not put_off:
                await self._give_up_load()
        return put_off

    async def _put_off(self) -> bool:
        if (await self._info()).unindexed:
            return True
        if await self._engine.count(self._memories, [any_memory()]):
            return False
        await self._mark_indexed(indexed=False)
        await self._engine.set_indexing(self._memories, on=False)
        return True

    async def end_load(self) -> None:
        """Build the index, if it is missing and no one else loads."""
        loader = self._loader or uuid.uuid4()
        if await self.hold(_LOAD, holder=loader, lease=_LOAD_LEASE) is None:
            return
        self._loader = loader
        try:
            await self._engine.run(self._take_up, write=True)
        finally:
            await self._give_up_load()

    async def _take_up(self) -> None:
        if (await self._info()).unindexed:
            await self._engine.set_indexing(self._memories, on=True)
            await self._mark_indexed(indexed=True)

    async def _mark_indexed(self, *, indexed: bool) -> None:
        await self._engine.change(self._memories, Put([Ids([INFO])], {"unindexed": None if indexed else True}))

    async def _give_up_load(self) -> None:
        loader, self._loader = self._loader, None
        if loader is not None:
            await self.let_go(_LOAD, holder=loader)
