"""The vector store on PostgreSQL: the parts of this package, put together as the port asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from persistence.ports.capabilities import Capability
from persistence.ports.observer import Location, PoolUse
from persistence.ports.reader import Reader
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.pgvector.binding import bind_model, read_info, register_graph
from persistence.vector.pgvector.checking import Checking
from persistence.vector.pgvector.connecting import conninfo, direct
from persistence.vector.pgvector.load import Loads
from persistence.vector.pgvector.migrate import open_schema
from persistence.vector.pgvector.outbox import Outbox
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.reads import Reads
from persistence.vector.pgvector.runs import Runs
from persistence.vector.pgvector.session import Sessions
from persistence.vector.pgvector.transfer import Transfers
from persistence.vector.pgvector.writes import Writes

_SQL = Queries("session")

_UNSAFE = {
    "fsync": "fsync is off: a crash of the machine can destroy the whole database.",
    "full_page_writes": "full_page_writes is off: a crash of the machine can leave torn pages in the database.",
    "synchronous_commit": "synchronous_commit is off: a crash can lose writes that were acknowledged.",
}


class _Reading(Reads, Transfers, Outbox, Checking, Runs):
    """What reads of the truth, on the sessions it is given."""

    async def info(self) -> StoreInfo:
        async with self._sessions.use() as connection:
            return await read_info(connection)


class PgVectorStore(_Reading, Writes):
    """The truth on PostgreSQL with pgvector. Nothing is connected before ``open``.

    ``schema``: where the tables are. ``auto_upgrade``: whether ``open`` may make or upgrade them. ``connect_timeout``
    and ``statement_timeout`` in seconds; the latter ends what a server has not answered. ``index_memory_mb``: the most
    memory that building the vector index after a load may use on the server.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "diptych",
        auto_upgrade: bool = True,
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        statement_timeout: float = 60.0,
        index_memory_mb: int = 1_024,
    ) -> None:
        self._info = conninfo(url, connect_timeout)
        self._schema = schema
        self._auto_upgrade = auto_upgrade
        self._connect_timeout = connect_timeout
        sessions = Sessions(self._info, schema, pool_size, connect_timeout, statement_timeout)
        super().__init__(sessions)
        self._loads = Loads(self._info, sessions, connect_timeout, index_memory_mb)

    @property
    def kind(self) -> str:
        return "pgvector"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset(Capability)

    @property
    def location(self) -> Location:
        """Where the truth is, for traces."""
        return self._sessions.location(self._schema)

    def pool_use(self) -> PoolUse | None:
        """Return the use of the connections, for metrics."""
        return self._sessions.pool_use()

    async def open(self, *, model: str, dimension: int) -> StoreInfo:
        async with direct(self._info, self._connect_timeout) as connection:
            extension = await open_schema(connection, self._schema, auto_upgrade=self._auto_upgrade)
            await self._sessions.open(extension)
        try:
            async with self._sessions.use() as connection:
                await connection.execute(_SQL.get("timeout"), {"timeout": "0"})
                info = await bind_model(connection, model, dimension)
                await connection.execute(_SQL.get("timeout"), {"timeout": self._sessions.statement_timeout})
        except BaseException:
            await self.close()
            raise
        self._dimension = self._loads.dimension = dimension
        return info

    async def close(self) -> None:
        await self._loads.close()
        await self._sessions.close()

    async def ping(self) -> str:
        return await self._sessions.server()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        async with self._sessions.still() as sessions:
            yield _Reading(sessions)

    async def register_graph(self, identity: GraphIdentity, *, former: GraphIdentity | None) -> GraphIdentity:
        async with self._sessions.use(write=True) as connection:
            return await register_graph(connection, identity, former)

    async def durability(self) -> list[str]:
        """Return a sentence for each server setting that makes an acknowledged write less than durable."""
        async with self._sessions.use() as connection:
            found = await (await connection.execute(_SQL.get("durability"))).fetchall()
        return [_UNSAFE[name] for name, value in found if value == "off"]

    async def begin_load(self) -> bool:
        return await self._loads.begin()

    async def end_load(self) -> None:
        await self._loads.end()
