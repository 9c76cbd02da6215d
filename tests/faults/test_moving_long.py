"""A hundred thousand memories move from Postgres to SQLite, at once and by way of Qdrant, with a writer going on."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.sqlite import SqliteStore
from sync.moving import MoveReport, move
from tests.contract.vector.making import AT_ONCE, a_write, vector_of
from tests.moving import USERS, Make, Writer, config, opened

MANY, DIMENSION = 100_000, 384


async def fill_up(store: VectorStore) -> None:
    vectors = [vector_of(str(i), DIMENSION) for i in range(1_000)]
    await store.begin_load()
    for start in range(0, MANY, 5_000):
        ids = range(start, start + 5_000)
        writes = [a_write(f"m{i:06}", USERS[i % 3], digest=i, embedding=vectors[i % 1_000]) for i in ids]
        await store.write_many(writes, AT_ONCE)


async def assert_alike(here: VectorStore, there: VectorStore) -> None:
    """Compare page by page: neither store's memories fit comfortably beside the other's."""
    after = None
    while True:
        pages = [await s.walk(None, after=after, limit=5_000, embeddings=True) for s in (here, there)]
        assert pages[0] == pages[1]
        if not pages[0]:
            break
        after = Key(pages[0][-1].user_id, pages[0][-1].id)
    assert await here.tombstones(None, after=None, limit=MANY) == await there.tombstones(None, after=None, limit=MANY)


async def moved(source: VectorStore, target: VectorStore, seed: int) -> tuple[MoveReport, MoveReport]:
    settings = config(sync_batch=1_000, run_lease=15.0)
    async with Writer(source, seed, MANY, DIMENSION) as writer:
        first = await move(source, target, config=settings)
    last = await move(source, target, config=settings)
    assert writer.done > 100
    return first, last


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("way", [("pgvector", "sqlite"), ("pgvector", "qdrant", "sqlite")], ids="-".join)
async def test_a_hundred_thousand(way: tuple[str, ...], postgres_url: str, pg_schema: str, tmp_path: Path) -> None:
    """Digests, versions, embeddings and tombstones are the same at the end of each move, nothing lost."""
    engine = EmbeddedEngine(tmp_path / "qdrant")
    makes: dict[str, Make] = {
        "pgvector": lambda: PgVectorStore(postgres_url, schema=pg_schema),
        "qdrant": lambda: QdrantStore(engine),
        "sqlite": lambda: SqliteStore(tmp_path / "truth.db"),
    }
    async with opened(makes[way[0]], dimension=DIMENSION) as store:
        await fill_up(store)
    for seed, (here, there) in enumerate(pairwise(way)):
        async with (
            opened(makes[here], dimension=DIMENSION) as source,
            opened(makes[there], dimension=DIMENSION) as target,
        ):
            began = time.monotonic()
            first, last = await moved(source, target, seed)
            print(f"{here} to {there}: {time.monotonic() - began:.1f} s", first, last, sep="\n")  # noqa: T201  # the figures
            assert first.complete
            assert last.in_step
            await assert_alike(source, target)
