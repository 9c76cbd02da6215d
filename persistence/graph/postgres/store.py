"""The graph store on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from persistence.errors import GraphStoreError, GraphWriteExpiredError
from persistence.graph.clock import ServerClock, in_time
from persistence.graph.counting import bounded
from persistence.graph.identity import Stamp, accepted, new_graph_id
from persistence.graph.ordering import FAN_OUT, FRONTIER, refuse_twins
from persistence.graph.postgres import answers
from persistence.graph.postgres.batching import batch
from persistence.graph.postgres.checking import Checking
from persistence.graph.postgres.errors import FAULTS
from persistence.graph.postgres.session import Sessions
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.graph import (
    GraphAck,
    GraphCounts,
    GraphEntity,
    GraphHit,
    GraphMemory,
    GraphWrite,
)
from persistence.ports.observer import Location, PoolUse
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Tombstone
from persistence.postgres.queries import Queries

_SQL = Queries(__package__, "graph")
_APPLY = _SQL.get("apply")
_READ = _SQL.get("read")
_RELATED = _SQL.get("related")
_ENTITIES = _SQL.get("entities")
_MENTIONING = _SQL.get("mentioning")
_COUNTS = {False: _SQL.get("count_all"), True: _SQL.get("count_tenant")}
_CLEAR = _SQL.get("clear")
_COLLECT = _SQL.get("collect")
_SESSION = Queries(__package__, "session")
_CLOCK = _SESSION.get("clock")
_STAMP = _SESSION.get("stamp")
_RELEASE = _SESSION.get("release")
_IDENTITY = _SESSION.get("identity")

#: Writes that are put into parameters on the event loop; more of them go to a thread.
INLINE = 50


class PostgresGraph(Checking):
    """A ``GraphStore`` in a schema of one PostgreSQL database.

    ``connect_timeout`` and ``statement_timeout`` are in seconds; the latter ends what the server has not answered.
    Where ``open`` failed because the server was away, the first call that finds it makes up for it.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "diptych_graph",
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        statement_timeout: float = 60.0,
    ) -> None:
        self._schema = schema
        self._sessions = Sessions(url, schema, pool_size, connect_timeout, statement_timeout)
        self._clock = ServerClock(self._server_now)
        self._open = False
        self._prepared = False
        self._preparing = asyncio.Lock()

    @property
    def kind(self) -> str:
        return "postgresql"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return OF_GRAPHS

    @property
    def location(self) -> Location:
        """Where the graph is, for traces."""
        return self._sessions.location(self._schema)

    def pool_use(self) -> PoolUse | None:
        """Return the use of the connections, for metrics."""
        return self._sessions.pool_use()

    async def open(self) -> None:
        self._open = True
        await self._ready()

    async def close(self) -> None:
        self._open = self._prepared = False
        await self._sessions.close()

    async def ping(self) -> str:
        await self._ready()
        return await self._sessions.server()

    async def identify(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool = False) -> GraphIdentity:
        stamp = await self._stamp()
        if (identity := accepted(stamp, store_id, known, adopt=adopt)) is not None:
            return identity
        ids = {"graph_id": new_graph_id(stamp, known, adopt=adopt), "truth_id": store_id}
        async with self._sessions.use(write=True) as connection:
            await connection.execute(_STAMP, ids)
        identity = accepted(await self._stamp(), store_id, known, adopt=adopt)
        if identity is None:
            raise GraphStoreError("The graph lost the identity it was just stamped with.")
        return identity

    async def release(self, truth_id: UUID) -> None:
        await self._ready()
        async with self._sessions.use(write=True) as connection:
            await connection.execute(_RELEASE, {"truth_id": truth_id})

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        if not writes:
            return []
        refuse_twins(writes)
        return await in_time(self._apply(writes, timeout), timeout, "PostgreSQL")

    async def read(self, keys: Sequence[Key], *, locked: bool = False) -> dict[Key, GraphMemory]:
        wanted = sorted(set(keys))
        given = {"user_ids": [key.user_id for key in wanted], "ids": [key.id for key in wanted], "locked": locked}
        found = [answers.memory(row) for row in await self._rows(_READ, given)]
        return {Key(memory.user_id, memory.id): memory for memory in found}

    async def related(self, user_id: str, ids: Sequence[str], *, depth: int, limit: int) -> list[GraphHit]:
        given = {"user_id": user_id, "ids": list(dict.fromkeys(ids)), "depth": depth, "limit": limit}
        rows = await self._rows(_RELATED, {**given, "fan_out": FAN_OUT, "frontier": FRONTIER})
        return [answers.hit(row) for row in rows]

    async def entities(self, user_id: str, *, after: tuple[str, str] | None, limit: int) -> list[GraphEntity]:
        kind, key = after or ("", "")
        rows = await self._rows(_ENTITIES, {"user_id": user_id, "type": kind, "key": key, "limit": limit})
        return [GraphEntity(kind, key, name, {}) for kind, key, name in rows]

    async def mentioning(self, user_id: str, entity: tuple[str, str], *, limit: int) -> list[str]:
        kind, key = entity
        given = {"user_id": user_id, "type": kind, "key": key, "limit": limit, "fan_out": FAN_OUT}
        return [memory_id for (memory_id,) in await self._rows(_MENTIONING, given)]

    async def counts(self, user_id: str | None, *, bound: int = 100_000) -> GraphCounts:
        given = {"user_id": user_id, "most": bound + 1}
        memories, tombstones, entities, *estimate = await self._row(_COUNTS[user_id is not None], given)
        return bounded(memories, tombstones, entities, bound, *estimate)

    async def collect(self, tombstones: Sequence[Tombstone]) -> None:
        gone = sorted((one.user_id, one.id, one.version) for one in tombstones)
        user_ids, ids, versions = zip(*gone, strict=True) if gone else ((), (), ())
        given = {"user_ids": list(user_ids), "ids": list(ids), "versions": list(versions)}
        await self._rows(_COLLECT, given, write=True)

    async def clear(self, user_id: str, *, limit: int, timeout: float) -> int:
        return await in_time(self._clear({"user_id": user_id, "limit": limit}, timeout), timeout, "PostgreSQL")

    async def _clear(self, some: dict[str, Any], timeout: float) -> int:
        started = asyncio.get_running_loop().time()
        await self._ready()
        row = await self._send(_CLEAR, some, timeout - (asyncio.get_running_loop().time() - started))
        return int(row[0])

    async def _apply(self, writes: Sequence[GraphWrite], timeout: float) -> list[GraphAck]:
        started = asyncio.get_running_loop().time()
        await self._ready()
        work = batch(writes) if len(writes) <= INLINE else await asyncio.to_thread(batch, writes)
        left = timeout - (asyncio.get_running_loop().time() - started)
        return answers.acks(await self._send(_APPLY, work.parameters, left), work.order)

    async def _send(self, query: bytes, given: Mapping[str, Any], seconds: float) -> Any:
        """Send what the server refuses ``seconds`` from now, and undoes when it takes longer; its time comes last."""
        sent = await self._clock.now()
        late = {"not_after": int(sent + max(seconds, 0.001) * 1_000)}
        try:
            row = await self._row(query, {**given, **late}, write=True)
        except GraphWriteExpiredError:
            await self._clock.measure()
            raise
        self._clock.compare(sent, row[-1])
        return row

    async def _stamp(self) -> Stamp:
        return answers.stamp(await self._row(_IDENTITY, {}))

    async def _ready(self) -> None:
        """Make the schema and measure the clock, once for each ``open``."""
        if self._prepared:
            return
        if not self._open:
            raise FAULTS.not_open()
        async with self._preparing:
            if not self._prepared:
                await self._sessions.open()
                await self._clock.measure()
                self._prepared = True

    async def _server_now(self) -> int:
        async with self._sessions.use() as connection:
            row = await (await connection.execute(_CLOCK)).fetchone()
        return int(row[0]) if row else 0
