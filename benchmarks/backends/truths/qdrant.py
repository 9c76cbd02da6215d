"""Qdrant by its engine and by its client: the same points, conditions and reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import AsyncQdrantClient, models

from benchmarks.backends.truths.side import Adapter, Record, prepare
from persistence.ports.outbox import Key
from persistence.records import Vector
from persistence.vector.qdrant import QdrantStore, layout
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.qdrant.remote import RemoteEngine, connector

_BEFORE = [*layout.STATE, "floor", "graph_id"]
_AFTER = ["write_id", "before", "version", "floor", "graph_id"]
_COLLECTION = "diptych"
_LEASE = 60_000_000
#: After so many points the adapter of the embedded engine has it build its indexes.
_OPTIMISED_EVERY = 20_000


class RawEdge:
    """The engine, a thread for each call. It has no other writers, and so nothing to read back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._points = 0

    async def open(self) -> None:
        await prepare(QdrantStore(EmbeddedEngine(self._folder)))
        self._shard = edge.EdgeShard.load(str(self._folder / _COLLECTION))

    async def close(self) -> None:
        self._shard.close()

    async def write(self, record: Record) -> None:
        await asyncio.to_thread(self._write, record)

    def _write(self, record: Record) -> None:
        self._shard.retrieve([layout.INFO, _point_id(record)], edge.PayloadSelector.Include(_BEFORE), False)
        never = edge.FieldCondition(key="write_id", match=edge.MatchAny([""]))
        self._put([record], edge.Filter(must=[never]))

    async def write_many(self, records: Sequence[Record]) -> None:
        await asyncio.to_thread(self._put, records, None)

    def _put(self, records: Sequence[Record], only: edge.Filter | None) -> None:
        points = [edge.Point(_point_id(r), r.item.embedding.tolist(), _payload(r)) for r in records]
        self._shard.update(edge.UpdateOperation.upsert_points(points, condition=only))
        self._points += len(points)
        if self._points >= _OPTIMISED_EVERY:
            self._points = 0
            self._shard.optimize()

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        return await asyncio.to_thread(self._search, user_id, vector, limit)

    def _search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        terms = [
            edge.FieldCondition(key="user_id", match=edge.MatchValue(user_id)),
            edge.FieldCondition(key="live", match=edge.MatchValue(1)),
        ]
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist()),
            filter=edge.Filter(must=terms),
            with_payload=True,
            with_vector=False,
        )
        return [(point.payload or {})["id"] for point in self._shard.query(request)]


class ServerAdapter(Adapter):
    """The adapter on a collection of its own."""

    def __init__(self, connect: Any, collection: str) -> None:
        super().__init__(QdrantStore(RemoteEngine(connect), collection=collection))
        self._connect, self._collection = connect, collection

    async def close(self) -> None:
        await super().close()
        await _remove(self._connect, self._collection)


class RawServer:
    """The client (REST), which is what the adapter stands on."""

    def __init__(self, connect: Any, collection: str) -> None:
        self._connect, self._collection = connect, collection

    async def open(self) -> None:
        await prepare(QdrantStore(RemoteEngine(self._connect), collection=self._collection))
        self._client: AsyncQdrantClient = self._connect()

    async def close(self) -> None:
        await self._client.close()
        await _remove(self._connect, self._collection)

    async def write(self, record: Record) -> None:
        names = [layout.INFO, _point_id(record)]
        await self._client.retrieve(self._collection, names, with_payload=_BEFORE)
        never = models.FieldCondition(key="write_id", match=models.MatchAny(any=[""]))
        await self._put([record], models.Filter(must=[never]))
        await self._client.retrieve(self._collection, names, with_payload=_AFTER)

    async def write_many(self, records: Sequence[Record]) -> None:
        await self._put(records, None)

    async def _put(self, records: Sequence[Record], only: models.Filter | None) -> None:
        points = [
            models.PointStruct(id=_point_id(r), vector=r.item.embedding.tolist(), payload=_payload(r)) for r in records
        ]
        await self._client.upsert(
            self._collection, points, wait=True, ordering=models.WriteOrdering.STRONG, update_filter=only
        )

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        terms = [
            models.FieldCondition(key="user_id", match=models.MatchValue(value=user_id)),
            models.FieldCondition(key="live", match=models.MatchValue(value=1)),
        ]
        answer = await self._client.query_points(
            self._collection, query=vector.tolist(), query_filter=models.Filter(must=terms), limit=limit
        )
        return [(point.payload or {})["id"] for point in answer.points]


def connect_to(url: str, api_key: str | None) -> Any:
    """Return what connects to a server."""
    return connector(url, api_key=api_key, timeout=60)


async def _remove(connect: Any, collection: str) -> None:
    client: AsyncQdrantClient = connect()
    try:
        for name in (collection, f"{collection}_runs"):
            await client.delete_collection(name)
    finally:
        await client.close()


def _point_id(record: Record) -> str:
    return layout.point_id(record.item.user_id, record.item.id)


def _payload(record: Record) -> dict[str, Any]:
    """Return a memory and its entry as they lie in a point."""
    item, write, now = record.item, record.write, time.time_ns() // 1000
    return {
        **layout.identity(Key(item.user_id, item.id)),
        "live": 1,
        "content": item.content,
        "metadata": {},
        "entities": record.entities(),
        "relationships": record.relationships(),
        "extracted": False,
        "digest": write.digest,
        "bucket": write.bucket,
        "version": now,
        "write_id": str(write.write_id),
        "created_at": now,
        "updated_at": now,
        "entry": f"{write.write_id}:{now}",
        "entry_at": now,
        "attempts": 0,
        "claim": 0,
        "due": now + _LEASE,
    }
