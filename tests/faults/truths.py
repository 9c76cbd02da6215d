"""The same pairs with their truth in SQLite, in Qdrant's engine, or in files, each looked into past its adapter."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import qdrant_edge as edge

from persistence import AsyncPersistenceService, Key
from persistence.graph.memory import FileGraph
from persistence.graph.memory.tenant import Node as GraphNode
from persistence.graph.memory.tenant import Tenant
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.projection import Fragment, project
from persistence.vector.memory import FileStorage, MemoryStore
from persistence.vector.memory.rows import to_memory
from persistence.vector.memory.state import Place, Table
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.sqlite import SqliteStore, path_of
from tests.faults.stores import Node, Stores, StoresOnPostgres, shown


def _now() -> int:
    return time.time_ns() // 1_000


@dataclass(frozen=True)
class SqliteStores(Stores):
    """A SQLite file and a graph; ``postgres`` is the URL of the file."""

    def vector(self, *, pool_size: int = 4) -> Any:
        return SqliteStore(path_of(self.postgres), readers=pool_size)

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return await anyio.to_thread.run_sync(self._rows, query, parameters)

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(path_of(self.postgres), isolation_level=None)) as connection:
            # What Postgres calls so, the tests' statements do.
            connection.create_function("clock_timestamp", 0, _now)
            connection.create_function("gen_random_uuid", 0, lambda: str(uuid.uuid4()))
            cursor = connection.execute(query.replace("%s", "?"), parameters)
            names = [column[0] for column in cursor.description or ()]
            return [_row(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    async def forget(self, keys: Sequence[Key]) -> None:
        for key in keys:
            await self.rows("DELETE FROM memories WHERE user_id = %s AND id = %s", *key)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    documents = {name: json.loads(row[name]) for name in ("entities", "relationships") if name in row}
    return {**row, **documents}


@dataclass(frozen=True)
class SqliteStoresOnPostgres(SqliteStores, StoresOnPostgres):
    """A SQLite file, and a graph in a schema of a PostgreSQL."""


@dataclass(frozen=True)
class QdrantStores(Stores):
    """Qdrant's engine, open as long as the test, and a Neo4j; the engine's own calls are used to look and to plant."""

    engine: EmbeddedEngine

    def vector(self, *, pool_size: int = 8) -> Any:
        del pool_size  # one process, one engine
        return QdrantStore(self.engine)

    @asynccontextmanager
    async def service(
        self, *, vector: VectorStore | None = None, graph: GraphStore | str | None = None, **settings: Any
    ) -> AsyncIterator[AsyncPersistenceService]:
        async with super().service(vector=vector or self.vector(), graph=graph, **settings) as memories:
            yield memories

    @property
    def shard(self) -> edge.EdgeShard:
        """The engine's own memories."""
        return self.engine._shard("diptych")

    def _points(self) -> list[edge.Record]:
        request = edge.ScrollRequest(limit=100_000, with_payload=True, with_vector=False)
        records, _ = self.shard.scroll(request)
        return [record for record in records if "user_id" in record.payload]

    def _put(self, points: Iterable[edge.Record], fields: dict[str, Any]) -> None:
        self.shard.update(edge.UpdateOperation.set_payload([point.id for point in points], fields))

    async def truth(self) -> dict[Key, tuple[int, int, Fragment | None]]:
        found: dict[Key, tuple[int, int, Fragment | None]] = {}
        for fields in (point.payload for point in self._points()):
            key = Key(fields["user_id"], fields["id"])
            live = fields["live"] == 1
            found[key] = (
                (fields["version"], fields["digest"], project(shown(fields))) if live else (fields["version"], 0, None)
            )
        return found

    async def outbox(self) -> list[dict[str, Any]]:
        listed = [fields for fields in (point.payload for point in self._points()) if "entry" in fields]
        entries = [
            {**fields, "entry_id": name, "version": int(version)}
            for fields in listed
            for name, _, version in [fields["entry"].partition(":")]
        ]
        return sorted(entries, key=lambda entry: (entry["user_id"], entry["id"]))

    async def end_leases(self) -> None:
        self._put([point for point in self._points() if "due" in point.payload], {"due": _now()})

    async def list_all(self, *, above: int = 0) -> None:
        for point in self._points():
            name = f"{uuid.uuid4()}:{point.payload['version'] + above}"
            self._put([point], {"entry": name, "entry_at": _now(), "attempts": 0, "claim": 0, "due": _now()})

    async def set_version(self, version: int) -> None:
        self._put(self._points(), {"version": version})

    async def set_digest(self, digest: int) -> None:
        self._put(self._points(), {"digest": digest})

    async def set_content(self, keys: Sequence[Key], content: str) -> None:
        self._put(self._of(keys), {"content": content})

    async def forget(self, keys: Sequence[Key]) -> None:
        self.shard.update(edge.UpdateOperation.delete_points([point.id for point in self._of(keys)]))

    def _of(self, keys: Iterable[Key]) -> list[edge.Record]:
        wanted = set(keys)
        return [point for point in self._points() if (point.payload["user_id"], point.payload["id"]) in wanted]


@dataclass(frozen=True)
class FileStores(Stores):
    """Truth and graph in memory, kept in files; what is looked at and planted is in the objects themselves."""

    storage: FileStorage
    files: FileGraph

    def vector(self, *, pool_size: int = 8) -> Any:
        del pool_size  # no connections
        return MemoryStore(self.storage)

    def graph(self) -> GraphStore:
        return self.files

    @asynccontextmanager
    async def service(
        self, *, vector: VectorStore | None = None, graph: GraphStore | str | None = None, **settings: Any
    ) -> AsyncIterator[AsyncPersistenceService]:
        async with super().service(vector=vector or self.vector(), graph=graph or self.graph(), **settings) as memories:
            yield memories

    async def truth(self) -> dict[Key, tuple[int, int, Fragment | None]]:
        found: dict[Key, tuple[int, int, Fragment | None]] = {}
        for (table, key), row in self.storage.state.every():
            if table is Table.MEMORIES:
                found[key] = row.version, row.digest, project(to_memory(row))
            elif table is Table.TOMBSTONES:
                found[key] = row.version, 0, None
        return found

    async def outbox(self) -> list[dict[str, Any]]:
        by_key = self.storage.state.outbox.by_key
        return [{"user_id": key.user_id, "id": key.id, "version": by_key[key].version} for key in sorted(by_key)]

    async def set_content(self, keys: Sequence[Key], content: str) -> None:
        for key in keys:
            self.storage.state.get(Place(Table.MEMORIES, key)).content = content

    async def forget(self, keys: Sequence[Key]) -> None:
        self.storage.state.apply({Place(Table.MEMORIES, key): None for key in keys})

    def tenant(self, key: Key) -> Tenant:
        """Return the graph of a memory's tenant."""
        return self.files._tenants[key.user_id]

    def node(self, key: Key) -> GraphNode:
        """Return a memory's node in the graph."""
        return self.tenant(key).memories[key.id]

    async def nodes(self) -> dict[Key, Node]:
        return {
            Key(user_id, memory_id): _seen(user_id, tenant, memory_id, node)
            for user_id, tenant in self.files._tenants.items()
            for memory_id, node in tenant.memories.items()
        }

    async def entities(self) -> list[dict[str, Any]]:
        return [
            {"user_id": user_id, "key": key, "mentioned": bool(hub.mentions)}
            for user_id, tenant in self.files._tenants.items()
            for (_, key), hub in tenant.entities.items()
        ]


def _seen(user_id: str, tenant: Tenant, memory_id: str, node: GraphNode) -> Node:
    """Return a node with what is really there at the entities, not with what it remembers."""
    fragment = node.fragment
    if fragment is None:
        return Node(node.version, None, live=False, mentions=[], edges=[])
    properties = {(mention.type, mention.key): dict(mention.properties) for mention in fragment.mentions}
    mentions = [
        [user_id, *end, properties.get(end, {})] for end, hub in tenant.entities.items() if memory_id in hub.mentions
    ]
    ends = [(mention.type, mention.key) for mention in fragment.mentions]
    edges = [
        (*ends[edge.source], edge.type, *ends[edge.target])
        for position, edge in enumerate(fragment.edges)
        if (memory_id, position) in tenant.entities[ends[edge.source]].links
    ]
    return Node(node.version, fragment.digest, live=True, mentions=mentions, edges=edges)
