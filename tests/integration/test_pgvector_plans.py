"""The plans: what has to be served by an index still is, and search finds what it should."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import numpy as np
import psycopg
import pytest
from psycopg import sql

from persistence.filters import Filter, make_filter
from persistence.ports.outbox import Key
from persistence.vector.pgvector import PgVectorStore, checking, outbox, reads
from persistence.vector.pgvector.conditions import Conditions
from persistence.vector.pgvector.queries import MEMORY_LIGHT
from persistence.vector.pgvector.rows import RawVector
from tests.contract.vector.making import AT_ONCE, a_delete, a_write, settlement, vector_of

DIMENSION = 32
MANY = 4_000


async def fill(url: str, schema: str) -> None:
    """Make a large tenant, a small one, tombstones and an outbox."""
    store = PgVectorStore(url, schema=schema)
    vectors = np.random.default_rng(5).normal(size=(MANY, DIMENSION)).astype(np.float32)
    writes = [
        a_write(f"{i:05}", "ada" if i % 20 else "bob", embedding=vectors[i], metadata={"group": i % 10})
        for i in range(MANY)
    ]
    try:
        await store.open(model="test", dimension=DIMENSION)
        assert await store.begin_load()
        await store.write_many(writes, AT_ONCE)
        await store.delete_many([a_delete(f"{i:05}") for i in range(1, 20)], AT_ONCE)
        await store.end_load()
    finally:
        await store.close()


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[str]:
    """Return a schema that is filled once for all tests here."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, fill, postgres_url, name).result()
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
async def store(postgres_url: str, filled: str) -> AsyncIterator[PgVectorStore]:
    store = PgVectorStore(postgres_url, schema=filled)
    try:
        await store.open(model="test", dimension=DIMENSION)
        yield store
    finally:
        await store.close()


async def plan(store: PgVectorStore, query: bytes, **parameters: Any) -> str:
    async with store._sessions.use() as connection:
        cursor = await connection.execute(b"EXPLAIN (COSTS off) " + query, parameters, prepare=False)
        return "\n".join(row[0] for row in await cursor.fetchall())


async def analyse(store: PgVectorStore) -> None:
    async with store._sessions.use() as connection:
        for table in (b"memories", b"outbox", b"tombstones"):
            await connection.execute(b"ANALYZE " + table)


@pytest.mark.parametrize("analysed", [False, True])
async def test_key_lookups_use_indexes(store: PgVectorStore, analysed: bool) -> None:  # noqa: FBT001
    """Claims, pages, the feed and reads by key go by index, with the statistics of an empty table or fresh ones."""
    if analysed:
        await analyse(store)
    keys = {"user_ids": ["ada"] * 3, "ids": ["a", "b", "c"]}
    assert "outbox_due" in await plan(store, outbox._NEXT_DUE)
    assert "outbox_dead" in await plan(store, outbox._REVIVE_ALL)
    assert "outbox_pkey" in await plan(store, outbox._PENDING, **keys)
    assert "tombstones_deleted_at" in await plan(store, outbox._TOMBSTONES_DUE, age=1.0, limit=5)
    read = await plan(store, reads._READ[False], **keys)
    assert "memories_pkey" in read
    assert "Hash" not in read
    page = reads._SQL.get("page", memory=MEMORY_LIGHT, where=Conditions(Filter()).sql)
    paged = await plan(store, page, user_id="ada", after="", limit=10)
    assert "Index Scan using memories_pkey" in paged
    assert "Sort" not in paged
    feed = {"memory_from": "5", "memory_after": "", "tombstone_from": "5", "tombstone_after": ""}
    changes = await plan(store, reads._CHANGES, user_id="ada", limit=10, **feed)
    assert "memories_changed" in changes
    assert "tombstones_changed" in changes


async def test_a_check_reads_no_wide_rows(store: PgVectorStore) -> None:
    """Sums and rows by bucket come from a covering index alone, of a tenant and of all."""
    async with store._sessions.use() as connection:
        await connection.execute("VACUUM ANALYZE memories")
    span: dict[str, Any] = {"user_id": "bob", "low": 0, "high": 1 << 24, "shift": 12, "lows": [0, 9], "highs": [8, 99]}
    for queries in (checking._SUMS, checking._ROWS):
        assert "Index Only Scan using memories_check on" in await plan(store, queries[True], **span)
        assert "Index Only Scan using memories_check" in await plan(store, queries[False], **span)


async def test_search_of_a_large_tenant_uses_the_vector_index(store: PgVectorStore) -> None:
    """A large tenant is searched by the vector index, in its order, a small one by its own rows."""
    await analyse(store)
    query = reads._SQL.get("search", memory=MEMORY_LIGHT, where=Conditions(Filter()).sql)
    vector = RawVector(np.ones(DIMENSION, dtype=np.float32))
    large = await plan(store, query, user_id="ada", vector=vector, limit=10)
    assert "Index Scan using memories_embedding" in large


async def test_equality_in_metadata_can_use_its_index(store: PgVectorStore) -> None:
    """A rare value in the metadata of a large tenant is found by the index on metadata."""
    await store.write(
        a_write("rare", embedding=vector_of("rare", DIMENSION), metadata={"topic": {"of": "bees"}}), AT_ONCE
    )
    await analyse(store)
    conditions = Conditions(make_filter(filters={"topic.of": "bees"}))
    query = reads._SQL.get("search_exact", memory=MEMORY_LIGHT, where=conditions.sql)
    vector = RawVector(np.ones(DIMENSION, dtype=np.float32))
    async with store._sessions.use() as connection:
        await connection.execute(b"SET enable_bitmapscan = on")
        parameters = {"user_id": "ada", "vector": vector, "limit": 10, **conditions.parameters}
        cursor = await connection.execute(b"EXPLAIN (COSTS off) " + query, parameters, prepare=False)
        text = "\n".join(row[0] for row in await cursor.fetchall())
        await connection.execute(b"SET enable_bitmapscan = off")
    assert "memories_metadata" in text
    hits = await store.search(
        "ada", vector_of("q", DIMENSION), limit=9, where=make_filter(filters={"topic.of": "bees"})
    )
    assert [memory.id for memory, _ in hits] == ["rare"]


async def test_search_finds_the_nearest(store: PgVectorStore) -> None:
    """Of the ten nearest memories the index finds nine at least, on average over twenty queries (seed 9)."""
    rng = np.random.default_rng(9)
    ids, matrix = await everything(store)
    found = 0
    for query in rng.normal(size=(20, DIMENSION)).astype(np.float32):
        exact = np.argsort(-(matrix @ query))[:10]
        hits = await store.search("ada", query, limit=10, where=Filter())
        found += len({ids[i] for i in exact} & {memory.id for memory, _ in hits})
    assert found >= 180


async def everything(store: PgVectorStore) -> tuple[list[str], Any]:
    """Return the ids of the large tenant's memories and their embeddings, of length 1."""
    memories = await store.page("ada", after=None, limit=MANY, where=Filter(), embeddings=True)
    matrix = np.stack([memory.embedding for memory in memories])
    return [memory.id for memory in memories], matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


async def test_a_filtered_search_returns_limit_rows(store: PgVectorStore) -> None:
    """However few of a large tenant match, a search returns as many as asked for, or all there are."""
    await analyse(store)
    query = np.ones(DIMENSION, dtype=np.float32)
    for where, matching in [({"group": 3}, 380), ({"group": {"in": [3, 4]}}, 500), ({"group": {"gte": 9}}, 380)]:
        hits = await store.search("ada", query, limit=300, where=make_filter(filters=where))
        assert len(hits) == min(300, matching), where
    assert len(await store.search("bob", query, limit=150, where=Filter())) == 150
    assert len(await store.search("bob", query, limit=500, where=Filter())) == MANY // 20


async def test_ties_across_the_limit(store: PgVectorStore) -> None:
    """Equally near memories come in the order of their ids, also where the limit cuts through them."""
    same = np.ones(DIMENSION, dtype=np.float32)
    await store.write_many([a_write(f"tie{i:03}", embedding=same) for i in reversed(range(150))], AT_ONCE)
    await analyse(store)
    hits = await store.search("ada", same, limit=20, where=Filter())
    assert [f"tie{i:03}" for i in range(20)] == [memory.id for memory, _ in hits]


async def test_settled_rows_are_found_in_a_full_outbox(store: PgVectorStore) -> None:
    """Settling a few of thousands removes just those."""
    before = (await store.outbox_stats()).pending
    keys = [Key("ada", f"{i:05}") for i in range(1, 300)]
    entries = await store.pending(keys)
    assert await store.settle([settlement(entry) for entry in entries.values()]) == len(entries)
    assert (await store.outbox_stats()).pending == before - len(entries)


async def test_a_claim_stops_early(store: PgVectorStore) -> None:
    """A claim of a few out of thousands touches few pages: it goes by the index of due times and stops there."""
    async with store._sessions.use() as connection:
        await connection.execute(outbox._CLAIM, {"limit": 5, "lease": 1.0})  # the first call reads the catalogue
        query = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + outbox._CLAIM
        ((report,),) = await (await connection.execute(query, {"limit": 5, "lease": 1.0})).fetchall()
    assert report[0]["Plan"]["Shared Hit Blocks"] + report[0]["Plan"]["Shared Read Blocks"] < 200


@pytest.mark.parametrize("dimension", [3_000, 5_000])
async def test_many_dimensions(postgres_url: str, pg_schema: str, dimension: int) -> None:
    """Embeddings that are indexed as halved floats, or not at all, are found in the right order with exact scores."""
    rng = np.random.default_rng(1)
    store = PgVectorStore(postgres_url, schema=pg_schema)
    try:
        await store.open(model="test", dimension=dimension)
        base = rng.normal(size=dimension)
        vectors = [(base + i / 10 * rng.normal(size=dimension)).astype(np.float32) for i in range(30)]
        await store.write_many([a_write(f"{i:02}", embedding=vector) for i, vector in enumerate(vectors)], AT_ONCE)
        hits = await store.search("ada", base.astype(np.float32), limit=5, where=Filter())
        assert [f"{i:02}" for i in range(5)] == [memory.id for memory, _ in hits]
        cosine = vectors[4] @ base / np.linalg.norm(vectors[4]) / np.linalg.norm(base)
        assert hits[4][1] == pytest.approx(cosine, abs=1e-5)
    finally:
        await store.close()
