"""Qdrant's engine in this process: a folder with one shard for each collection, and one process at a time.

A call of the store is done in a thread as a whole, and calls that write one after another: so no other call is ever in
between, and a call costs one hop to the thread, not one for each of its operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import qdrant_edge as edge

from persistence.errors import VectorStoreError
from persistence.records import Vector
from persistence.vector.qdrant import edge_folder
from persistence.vector.qdrant.edge_folder import translated
from persistence.vector.qdrant.edge_shards import Shards
from persistence.vector.qdrant.edge_values import found, operation, selected, to_filter
from persistence.vector.qdrant.engine import Change, Fields, Found, Index, Shape, Upsert
from persistence.vector.qdrant.terms import Terms

T = TypeVar("T")

#: The engine takes no collection without a vector; this one is never used.
_NO_VECTOR = "none"
#: The name of a collection's only vector.
_VECTOR = ""
#: The engine builds indexes when it is told to: after so many points.
_OPTIMISED_EVERY = 20_000
_INDEXES: dict[Index, edge.PayloadSchemaType | edge.KeywordIndexParams] = {
    Index.TENANT: edge.KeywordIndexParams(is_tenant=True),
    Index.KEYWORD: edge.PayloadSchemaType.Keyword,
    Index.INTEGER: edge.PayloadSchemaType.Integer,
}


class EmbeddedEngine(Shards):
    """What the store asks of Qdrant, done in one folder."""

    def __init__(self, folder: Path, *, flush_every: float = 60.0) -> None:
        super().__init__(folder, flush_every=flush_every)
        self._optimised = True
        self._since_optimised = 0

    @property
    def kind(self) -> str:
        return "qdrant_embedded"

    @property
    def shared(self) -> bool:
        return False

    async def version(self) -> str:
        self._check_open()
        return f"Edge {metadata.version('qdrant-edge-py')}"

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, write: bool = False) -> T:
        return await anyio.to_thread.run_sync(self._run, work, write)

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]], write: bool) -> T:  # noqa: FBT001 - a thread takes no keywords
        if not write:
            return _done(work())
        with self._one_writer:
            answer = _done(work())
            self._keep()
            return answer

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this runs in a thread of its own

    async def shape(self, collection: str) -> Shape | None:
        self._check_open()
        config = edge_folder.config_of(self._folder, collection)
        if config is None:
            return None
        vector = config.get("vectors", {}).get(_VECTOR)
        return Shape(None, None) if vector is None else Shape(vector["size"], vector["distance"])

    async def create(self, collection: str, dimension: int | None, indexes: Mapping[str, Index]) -> None:
        self._check_open()
        if await self.shape(collection) is None:
            with translated():
                edge_folder.create(self._folder, collection, _config(dimension))
        shard = self._shard(collection)
        with translated():
            for name, kind in indexes.items():
                shard.update(edge.UpdateOperation.create_field_index(name, _INDEXES[kind]))
        self._unflushed.add(collection)

    async def change(self, collection: str, *changes: Change) -> None:
        shard = self._shard(collection)
        self._unflushed.add(collection)
        with translated():
            for change in changes:
                shard.update(operation(change))
        self._since_optimised += sum(len(change.points) for change in changes if isinstance(change, Upsert))
        if self._optimised and self._since_optimised >= _OPTIMISED_EVERY:
            self._optimise(shard)

    def _optimise(self, shard: edge.EdgeShard) -> None:
        self._since_optimised = 0
        with translated():
            shard.optimize()

    async def get(
        self, collection: str, ids: Sequence[str], fields: Fields = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        if not ids:
            return {}
        with translated():
            records = self._shard(collection).retrieve(list(ids), selected(fields), vectors)
        return {str(record.id): found(record) for record in records}

    async def scroll(
        self, collection: str, where: Terms, *, limit: int, start: str | None = None, fields: Fields = None
    ) -> tuple[list[Found], str | None]:
        request = edge.ScrollRequest(
            offset=start, limit=limit, filter=to_filter(where), with_payload=selected(fields), with_vector=False
        )
        with translated():
            records, beyond = self._shard(collection).scroll(request)
        return [found(record) for record in records], None if beyond is None else str(beyond)

    async def ordered(
        self,
        collection: str,
        where: Terms,
        by: str,
        *,
        limit: int,
        descending: bool = False,
        fields: Fields = None,
    ) -> list[Found]:
        request = edge.ScrollRequest(
            limit=limit,
            filter=to_filter(where),
            with_payload=selected(fields),
            with_vector=False,
            order_by=edge.OrderBy(by, edge.Direction.Desc if descending else edge.Direction.Asc),
        )
        with translated():
            records, _ = self._shard(collection).scroll(request)
        return [found(record) for record in records]

    async def nearest(
        self, collection: str, vector: Vector, where: Terms, *, limit: int, offset: int = 0, exact: bool = False
    ) -> list[Found]:
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=edge.Query.Nearest(vector.tolist()),
            filter=to_filter(where),
            params=edge.SearchParams(exact=exact),
            with_payload=True,
            with_vector=False,
        )
        with translated():
            records = self._shard(collection).query(request)
        return [Found(str(point.id), point.payload or {}, None, point.score) for point in records]

    async def count(self, collection: str, where: Terms, *, exact: bool = True) -> int:
        with translated():
            return self._shard(collection).count(edge.CountRequest(filter=to_filter(where), exact=exact))

    async def set_indexing(self, collection: str, *, on: bool) -> None:
        self._optimised = on
        if on:
            self._optimise(self._shard(collection))


def _done(work: Coroutine[Any, Any, T]) -> T:
    """Do what awaits nothing but this engine, which never waits: it comes to its end in one step."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise VectorStoreError("A call of the embedded Qdrant waited for something.")


def _config(dimension: int | None) -> edge.EdgeConfig:
    name, size = (_NO_VECTOR, 1) if dimension is None else (_VECTOR, dimension)
    return edge.EdgeConfig(vectors={name: edge.EdgeVectorParams(size=size, distance=edge.Distance.Dot)})
