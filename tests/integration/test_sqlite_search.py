"""Search: the matrix in memory is what the file says, whoever wrote; what does not fit is read from the file."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from persistence.filters import Filter, make_filter
from persistence.ports.vector import VectorStore
from persistence.vector.sqlite import SqliteStore
from persistence.vector.sqlite.matrix import row_bytes
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, settlement, vector_of

EVERY = Filter()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[SqliteStore]]:
    """Return three stores on one file; the last one may keep nothing in memory."""
    async with AsyncExitStack() as stack:
        opened = [SqliteStore(tmp_path / "truth.db", cache_mb=size) for size in (64, 64, 0)]
        for store in opened:
            stack.push_async_callback(store.close)
            await store.open(model="test", dimension=DIMENSION)
        yield opened


async def found(store: VectorStore, text: str, limit: int = 10, where: Filter = EVERY) -> list[tuple[str, float]]:
    hits = await store.search("ada", vector_of(text), limit=limit, where=where)
    return [(memory.id, score) for memory, score in hits]


def expected(vectors: dict[str, str], text: str, limit: int) -> list[str]:
    """Return the nearest by hand: ids map to the texts that their vectors were made of."""
    query = vector_of(text).astype(np.float64)
    cosines = {}
    for memory_id, own in vectors.items():
        vector = vector_of(own).astype(np.float64)
        cosines[memory_id] = float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query))
    return sorted(cosines, key=lambda memory_id: (-round(cosines[memory_id], 6), memory_id))[:limit]


async def test_what_others_write_is_found_at_once(stores: list[SqliteStore]) -> None:
    """Writes, replacements and deletes of any store are in the next search of every other one (seed 3)."""
    rng, vectors = random.Random(3), dict[str, str]()
    for step in range(60):
        writer, chosen = rng.choice(stores), [f"{i:02}" for i in rng.sample(range(40), 5)]
        if rng.random() < 0.4:
            await writer.delete_many([a_delete(one) for one in chosen], AT_ONCE)
            vectors = {one: text for one, text in vectors.items() if one not in chosen}
        else:
            texts = {one: f"{one} at {step}" for one in chosen}
            await writer.write_many([a_write(one, embedding=vector_of(text)) for one, text in texts.items()], AT_ONCE)
            vectors |= texts
        answers = [await found(store, f"query {step}") for store in stores]
        assert [one for one, _ in answers[0]] == expected(vectors, f"query {step}", 10)
        assert answers[0] == answers[1] == answers[2]


async def test_a_delete_whose_tombstone_is_gone(stores: list[SqliteStore]) -> None:
    """What was deleted takes no place among the hits, though its tombstone went before the search looked again."""
    reader, writer, _ = stores
    await writer.write_many([a_write("a"), a_write("b")], AT_ONCE)
    assert len(await found(reader, "q")) == 2
    await writer.delete_many([a_delete("a")], AT_ONCE)
    await writer.settle([settlement(entry) for entry in await writer.claim(limit=9, lease=60)])
    assert await writer.collect_tombstones(await writer.tombstones_due(age=0, limit=9)) == 1
    assert [one for one, _ in await found(reader, "a", 1)] == ["b"]


async def test_equally_near(stores: list[SqliteStore]) -> None:
    """Of many that are equally near, however they were written, the first ids are found, with one score."""
    names = [f"{i:04}" for i in range(1_500)]
    shuffled = random.Random(4).sample(names, len(names))
    writes = [a_write(name, embedding=vector_of("same")) for name in shuffled]
    writes += [a_write(f"z{i}", embedding=vector_of(f"{i}")) for i in range(77)]
    await stores[0].write_many(writes, AT_ONCE)
    await stores[0].delete_many([a_delete(name) for name in names[:5]], AT_ONCE)
    for store in stores:
        hits = await found(store, "same", 7)
        assert [one for one, _ in hits] == names[5:12]
        assert len({score for _, score in hits}) == 1


async def test_filters_with_and_without_the_matrix(stores: list[SqliteStore]) -> None:
    """A filtered search finds the same from memory and from the file."""
    writes = [a_write(f"{i:04}", metadata={"g": i % 7}, agent_id=f"x{i % 3}") for i in range(2_500)]
    await stores[0].write_many(writes, AT_ONCE)
    for where in (make_filter(filters={"g": 3}), make_filter(agent_id="x1"), make_filter("x2", None, {"g": {"gt": 9}})):
        first, *others = [await found(store, "q", 50, where) for store in stores]
        assert others == [first, first]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({'"': 1}, 1), ({'a"b\\': 1}, 1), ({"$": 1}, 1), ({"[0]": 1}, 1), ({"é\n": 1}, 1), ({"0": 1}, 1),
        ({"x" + ".x" * 40: 1}, 0), ({"x" + ".x" * 40: {"ne": 1}}, 1), ({"x" + ".x" * 30: 1}, 0),
        ({"text.y": 1}, 0), ({"text.y": {"exists": False}}, 1), ({"list.0": 1}, 0), ({"f": 0.1}, 1),
        ({"f": {"gt": 0.1}}, 0), ({"g": {"in": [0.30000000000000004]}}, 1), ({"low": -(2**63)}, 1),
        ({"tiny": 5e-324}, 1), ({"tiny": {"gt": 0}}, 1), ({"list": {"contains": 1.0}}, 1),
        ({"list": {"contains": True}}, 0), ({"json": "[1]"}, 1), ({"json": {"contains": 1}}, 0),
    ],
)  # fmt: skip
async def test_odd_filters(stores: list[SqliteStore], where: dict[str, object], count: int) -> None:
    """Keys of any spelling, paths of any length and numbers at their limits are compared as they were written."""
    keys = ['"', 'a"b\\', "$", "[0]", "é\n", "0"]
    values = {"text": "{not json", "list": [1, "x"], "f": 0.1, "g": 0.1 + 0.2, "low": -(2**63), "tiny": 5e-324}
    await stores[0].write(a_write("a", metadata=dict.fromkeys(keys, 1) | values | {"json": "[1]"}), AT_ONCE)
    assert len(await found(stores[0], "q", 9, make_filter(filters=where))) == count
    assert len(await stores[0].page("ada", after=None, limit=9, where=make_filter(filters=where))) == count


async def test_memory_is_bounded(tmp_path: Path) -> None:
    """Of many tenants those searched last are kept, no more than fit; all are found all the same."""
    store = SqliteStore(tmp_path / "truth.db", cache_mb=1)
    try:
        await store.open(model="test", dimension=DIMENSION)
        each = 1_000_000 // row_bytes(DIMENSION) // 4
        users = [f"user {i}" for i in range(8)]
        for user in users:
            await store.write_many([a_write(f"{i}", user) for i in range(each)], AT_ONCE)
        for user in [*users, *users[::-1]]:
            hits = await store.search(user, vector_of("7"), limit=1, where=EVERY)
            assert [memory.id for memory, _ in hits] == ["7"]
            kept = [tenant.matrix.size for tenant in store._tenants.values() if tenant.matrix]
            assert 0 < sum(kept) <= 1_000_000
        await store.write_many([a_write(f"{i}", "large") for i in range(5 * each)], AT_ONCE)
        hits = await store.search("large", vector_of("7"), limit=1, where=EVERY)
        assert [memory.id for memory, _ in hits] == ["7"]
        assert "large" not in store._tenants
    finally:
        await store.close()


async def test_searches_at_once(stores: list[SqliteStore]) -> None:
    """Many searches of one tenant at once, some of them cancelled, while others write, find what is there."""
    await stores[0].write_many([a_write(f"{i:03}") for i in range(300)], AT_ONCE)

    async def write() -> None:
        for i in range(20):
            await stores[1].write(a_write(f"new {i}", embedding=-vector_of("007")), AT_ONCE)

    tasks = [asyncio.create_task(found(stores[0], "007", 1)) for _ in range(30)]
    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await writing
    assert {one for answer in answers if isinstance(answer, list) for one, _ in answer} == {"007"}
    assert len(await found(stores[0], "q", 999)) == 320
