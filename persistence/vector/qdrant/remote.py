"""Qdrant as a server, reached by its own client (REST)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from persistence.errors import ConfigurationError, VectorStoreUnavailableError
from persistence.records import Vector
from persistence.tls import Fault, Tls, TlsError, find
from persistence.vector.qdrant.address import Address, parse
from persistence.vector.qdrant.engine import Change, Fields, Found, Index, Shape
from persistence.vector.qdrant.options import Options
from persistence.vector.qdrant.remote_errors import translated
from persistence.vector.qdrant.remote_sending import Request, send
from persistence.vector.qdrant.remote_values import found, in_turns, operations, selected, to_filter
from persistence.vector.qdrant.terms import Terms

T = TypeVar("T")
Connect = Callable[[], AsyncQdrantClient]

#: The first version whose upserts take a condition.
OLDEST_SERVER = (1, 16)
_VERSION = re.compile(r"(\d+)\.(\d+)")
#: The largest number of kilobytes of vectors that a segment may hold without a vector index; 0: no limit.
_INDEXED_FROM, _NEVER = 10_000, 0
#: Every change goes by the shard's leader, so that all replicas make the same changes in the same order.
_ORDERING = models.WriteOrdering.STRONG
#: What most replicas have, so that a change that was acknowledged is in it.
_CONSISTENCY = models.ReadConsistencyType.MAJORITY
_INDEXES: dict[Index, models.PayloadSchemaType | models.KeywordIndexParams] = {
    Index.TENANT: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    Index.KEYWORD: models.PayloadSchemaType.KEYWORD,
    Index.INTEGER: models.PayloadSchemaType.INTEGER,
}
#: Seconds for finding out why an encrypted connection cannot be had.
LOOK_TIME = 5.0


def connector(address: Address | str, *, api_key: str | None, timeout: float) -> Connect:
    """Return what connects to the server of an address or a URL. Raises ConfigurationError."""
    where = parse(address) if isinstance(address, str) else address
    return lambda: AsyncQdrantClient(
        url=where.url,
        api_key=where.key or api_key,
        timeout=max(1, round(timeout)),
        check_compatibility=False,
        **_encryption(where.tls),
    )


def _encryption(tls: Tls | None) -> dict[str, Any]:
    """Return the client's settings of encryption. Raises ConfigurationError."""
    try:
        return {} if tls is None else {"verify": tls.context()}
    except TlsError as error:
        raise _refused(error.fault) from error


def _refused(fault: Fault) -> ConfigurationError:
    return ConfigurationError(fault.message, hint=fault.hint)


class RemoteEngine:
    """One client, shared by all who have opened it."""

    def __init__(self, connect: Connect, options: Options | None = None, address: Address | None = None) -> None:
        self._connect = connect
        self._address = address
        self._options = options or Options()
        self._client: AsyncQdrantClient | None = None
        self._opened = 0

    @property
    def kind(self) -> str:
        return "qdrant"

    @property
    def shared(self) -> bool:
        return True

    async def open(self) -> None:
        if self._client is None:
            self._client = self._connect()
        self._opened += 1
        try:
            await self._check_version()
        except VectorStoreUnavailableError as error:
            await self.close()
            if (told := await self._explain()) is None:
                raise
            raise told from error
        except BaseException:
            await self.close()
            raise

    async def _explain(self) -> ConfigurationError | None:
        """Say whether it is for its encryption that the server cannot be reached, by a look of our own."""
        if self._address is None or self._address.tls is None:
            return None
        fault = await find(self._address.place, self._address.tls, LOOK_TIME)
        return None if fault is None else _refused(fault)

    async def _check_version(self) -> None:
        version = await self.version()
        numbers = _VERSION.match(version)
        if numbers is None:
            raise ConfigurationError(
                "What answers at the vector store's address is no Qdrant server.", hint="check the host and the port"
            )
        if tuple(map(int, numbers.groups())) < OLDEST_SERVER:
            raise ConfigurationError(
                f"This Qdrant server has version {version}; diptych needs 1.16 or newer.", hint="upgrade the server"
            )

    async def close(self) -> None:
        self._opened = max(0, self._opened - 1)
        if self._opened == 0 and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    @property
    def _there(self) -> AsyncQdrantClient:
        if self._client is None:
            raise VectorStoreUnavailableError("The vector store is not open.", hint="open it first")
        return self._client

    async def can_open(self, collection: str) -> bool:  # noqa: ARG002 - only the server, once it is open, can say
        return True

    async def version(self) -> str:
        with translated():
            return (await self._there.info()).version

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, write: bool = False) -> T:  # noqa: ARG002 - a call to a server blocks nobody
        return await work()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def shape(self, collection: str) -> Shape | None:
        with translated():
            if not await self._there.collection_exists(collection):
                return None
            vectors = (await self._there.get_collection(collection)).config.params.vectors
        if not isinstance(vectors, models.VectorParams):
            return Shape(None, None)
        return Shape(vectors.size, vectors.distance.value)

    async def create(self, collection: str, dimension: int | None, indexes: Mapping[str, Index]) -> None:
        with translated(write=True):
            if not await self._there.collection_exists(collection):
                await self._create(collection, dimension)
            for name, kind in indexes.items():
                await self._there.create_payload_index(
                    collection, name, field_schema=_INDEXES[kind], wait=True, ordering=_ORDERING
                )

    async def _create(self, collection: str, dimension: int | None) -> None:
        options = self._options
        try:
            await self._there.create_collection(
                collection,
                vectors_config={} if dimension is None else self._vectors(dimension),
                shard_number=options.shard_number,
                replication_factor=options.replication_factor,
                write_consistency_factor=options.write_consistency_factor,
            )
        except (UnexpectedResponse, ValueError):
            # Another process was at it at the same time.
            if not await self._there.collection_exists(collection):
                raise

    def _vectors(self, dimension: int) -> models.VectorParams:
        options = self._options
        # An index for each tenant, none over all of them: no search goes beyond one tenant.
        hnsw = models.HnswConfigDiff(m=0, payload_m=options.hnsw_m, ef_construct=options.hnsw_ef_construct)
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.VectorParams(
            size=dimension,
            distance=models.Distance.DOT,
            on_disk=options.on_disk,
            hnsw_config=hnsw,
            quantization_config=models.ScalarQuantization(scalar=scalar) if options.quantized else None,
        )

    async def change(self, collection: str, *changes: Change) -> None:
        async def put(request: Request) -> None:
            with translated(write=True):
                await self._there.batch_update_points(collection, operations(request), wait=True, ordering=_ORDERING)

        await send(in_turns(changes), put)

    async def get(
        self, collection: str, ids: Sequence[str], fields: Fields = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        if not ids:
            return {}
        with translated():
            records = await self._there.retrieve(
                collection, ids, with_payload=selected(fields), with_vectors=vectors, consistency=_CONSISTENCY
            )
        return {str(record.id): found(record) for record in records}

    async def scroll(
        self, collection: str, where: Terms, *, limit: int, start: str | None = None, fields: Fields = None
    ) -> tuple[list[Found], str | None]:
        with translated():
            records, beyond = await self._there.scroll(
                collection,
                to_filter(where),
                limit=limit,
                offset=start,
                with_payload=selected(fields),
                consistency=_CONSISTENCY,
            )
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
        direction = models.Direction.DESC if descending else models.Direction.ASC
        with translated():
            records, _ = await self._there.scroll(
                collection,
                to_filter(where),
                limit=limit,
                order_by=models.OrderBy(key=by, direction=direction),
                with_payload=selected(fields),
                consistency=_CONSISTENCY,
            )
        return [found(record) for record in records]

    async def nearest(
        self, collection: str, vector: Vector, where: Terms, *, limit: int, offset: int = 0, exact: bool = False
    ) -> list[Found]:
        with translated():
            answer = await self._there.query_points(
                collection,
                query=vector.tolist(),
                query_filter=to_filter(where),
                limit=limit,
                offset=offset,
                search_params=models.SearchParams(exact=exact),
                with_payload=True,
                consistency=_CONSISTENCY,
            )
        return [Found(str(point.id), point.payload or {}, None, point.score) for point in answer.points]

    async def count(self, collection: str, where: Terms, *, exact: bool = True) -> int:
        with translated():
            return (await self._there.count(collection, to_filter(where), exact=exact)).count

    async def set_indexing(self, collection: str, *, on: bool) -> None:
        threshold = models.OptimizersConfigDiff(indexing_threshold=_INDEXED_FROM if on else _NEVER)
        with translated(write=True):
            await self._there.update_collection(collection, optimizers_config=threshold)
