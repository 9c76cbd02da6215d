"""The graph store on Neo4j."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from neo4j import Record

from persistence.errors import GraphStoreError, GraphUnavailableError, GraphUntrustedError, GraphWriteExpiredError
from persistence.graph.clock import ServerClock, in_time
from persistence.graph.counting import bounded
from persistence.graph.identity import accepted, new_graph_id
from persistence.graph.neo4j import answers, schema, statements
from persistence.graph.neo4j.address import parse
from persistence.graph.neo4j.batching import batch
from persistence.graph.neo4j.checking import Checking
from persistence.graph.neo4j.connection import Connection
from persistence.graph.neo4j.walk import Walk
from persistence.graph.ordering import FAN_OUT, refuse_twins
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.graph import (
    GraphAck,
    GraphCounts,
    GraphEntity,
    GraphHit,
    GraphMemory,
    GraphWrite,
)
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Tombstone

#: Writes that are put into parameters on the event loop; more of them go to a thread.
INLINE = 50


class Neo4jGraph(Checking):
    """A ``GraphStore`` on one Neo4j database.

    ``url`` is ``neo4j://user:password@host:port/database``, also with ``neo4j+s``, ``bolt`` and ``bolt+s``;
    ``connect_timeout`` is in seconds. Where ``open`` failed because the server was away, the first call that finds it
    makes up for it.
    """

    def __init__(self, url: str, *, pool_size: int = 8, connect_timeout: float = 5.0) -> None:
        address = parse(url)
        self.location = address.location
        self._connection = Connection(address, pool_size=pool_size, connect_timeout=connect_timeout)
        self._clock = ServerClock(self._server_now)
        self._prepared = False
        self._preparing = asyncio.Lock()

    @property
    def kind(self) -> str:
        return "neo4j"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return OF_GRAPHS

    async def open(self) -> None:
        self._connection.open()
        await self._ready()

    async def close(self) -> None:
        self._prepared = False
        await self._connection.close()

    async def ping(self) -> str:
        await self._ready()
        record = _one(await self._connection.run(statements.SERVER_VERSION))
        return f"{record['name']} {record['version']} {record['edition']}"

    async def identify(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool = False) -> GraphIdentity:
        await self._ready()
        stamp = answers.stamp(_one(await self._connection.run(statements.STORE)))
        identity = accepted(stamp, store_id, known, adopt=adopt)
        if identity is not None:
            return identity
        ids = {
            "graph_id": str(new_graph_id(stamp, known, adopt=adopt)),
            "truth_id": str(store_id),
            "schema": schema.VERSION,
        }
        await self._connection.run(statements.STAMP, ids)
        stamp = answers.stamp(_one(await self._connection.run(statements.STORE)))
        identity = accepted(stamp, store_id, known, adopt=adopt)
        if identity is None:
            raise GraphStoreError("The graph lost the identity it was just stamped with.")
        return identity

    async def release(self, truth_id: UUID) -> None:
        await self._ready()
        await self._connection.run(statements.RELEASE, {"truth_id": str(truth_id)})

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        if not writes:
            return []
        refuse_twins(writes)
        return await in_time(self._apply(writes, timeout), timeout, "Neo4j")

    async def read(self, keys: Sequence[Key], *, locked: bool = False) -> dict[Key, GraphMemory]:
        await self._ready()
        wanted = {"batch": {"keys": [list(key) for key in sorted(set(keys))]}, "hub": FAN_OUT}
        statement = statements.READ_LOCKED if locked else statements.READ
        found = [answers.memory(row) for row in await self._connection.rows(statement, wanted)]
        return {Key(memory.user_id, memory.id): memory for memory in found}

    async def related(self, user_id: str, ids: Sequence[str], *, depth: int, limit: int) -> list[GraphHit]:
        await self._ready()
        return await Walk(self._connection, user_id, ids).hits(depth, limit)

    async def entities(self, user_id: str, *, after: tuple[str, str] | None, limit: int) -> list[GraphEntity]:
        await self._ready()
        kind, key = after or ("", "")
        page = {"user_id": user_id, "type": kind, "key": key, "limit": limit}
        rows = await self._connection.rows(statements.ENTITIES, page)
        return [GraphEntity(kind, key, name, {}) for kind, key, name in rows]

    async def mentioning(self, user_id: str, entity: tuple[str, str], *, limit: int) -> list[str]:
        await self._ready()
        return await Walk(self._connection, user_id, ()).mentioning(entity, limit)

    async def counts(self, user_id: str | None, *, bound: int = 100_000) -> GraphCounts:
        await self._ready()
        if user_id is None:  # the server keeps these numbers, however large they are
            record = _one(await self._connection.run(statements.COUNT_ALL))
            return GraphCounts(record["memories"], record["tombstones"], record["entities"])
        given = {"user_id": user_id, "most": bound + 1}
        record = _one(await self._connection.run(statements.COUNT_TENANT, given))
        return bounded(record["memories"], record["tombstones"], record["entities"], bound)

    async def collect(self, tombstones: Sequence[Tombstone]) -> None:
        await self._ready()
        rows = sorted([gone.user_id, gone.id, gone.version] for gone in tombstones)
        await self._connection.run(statements.COLLECT, {"batch": {"rows": rows}})

    async def clear(self, user_id: str, *, limit: int, timeout: float) -> int:
        return await in_time(self._clear({"user_id": user_id, "limit": limit}, timeout), timeout, "Neo4j")

    async def _clear(self, some: dict[str, Any], timeout: float) -> int:
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        await self._ready()
        for statement in (statements.CLEAR_EDGES, statements.CLEAR_MEMORIES, statements.CLEAR_ENTITIES):
            if removed := int((await self._send(statement, some, ends - loop.time()))["removed"]):
                return removed
        return 0

    async def _apply(self, writes: Sequence[GraphWrite], timeout: float) -> list[GraphAck]:
        started = asyncio.get_running_loop().time()
        await self._ready()
        work = batch(writes) if len(writes) <= INLINE else await asyncio.to_thread(batch, writes)
        left = timeout - (asyncio.get_running_loop().time() - started)
        return answers.acks(await self._send(statements.APPLY, {"batch": work.parameter}, left), work.order)

    async def _send(self, statement: LiteralString, given: dict[str, Any], seconds: float) -> Record:
        """Send what the server refuses ``seconds`` from now, by an empty answer, and undoes when it takes longer."""
        seconds = max(seconds, 0.001)
        sent = await self._clock.now()
        parameters = {**given, "not_after": int(sent + seconds * 1_000)}
        records = await self._connection.run(statement, parameters, timeout=seconds)
        if not records:
            await self._clock.measure()
            raise GraphWriteExpiredError
        self._clock.compare(sent, records[0]["now"])
        return _one(records)

    async def _ready(self) -> None:
        """Make the schema and measure the clock, once for each ``open``."""
        if self._prepared:
            return
        async with self._preparing:
            if not self._prepared:
                await self._prepare()
                await self._clock.measure()
                self._prepared = True

    async def _prepare(self) -> None:
        await self._connection.check()
        try:
            await schema.prepare(self._connection)
        except GraphUntrustedError:
            raise
        except GraphUnavailableError as error:
            if (told := await self._connection.explain()) is None:
                raise
            raise told from error

    async def _server_now(self) -> int:
        return int(_one(await self._connection.run(statements.SERVER_CLOCK))["now"])


def _one(records: list[Record]) -> Record:
    """Return the only record. Raises GraphStoreError."""
    if len(records) != 1:
        raise GraphStoreError(f"Neo4j answered {len(records)} records where one was expected.")
    return records[0]
