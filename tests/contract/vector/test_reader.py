"""A look that stands still: of one moment where the store promises that, whatever others write, and in nobody's way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from persistence.errors import VectorStoreError
from persistence.ports.capabilities import Capability
from persistence.ports.checking import EVERYTHING, Span
from persistence.ports.outbox import Key
from persistence.ports.reader import Reader
from persistence.ports.runs import Depth, Inconsistency, InconsistencyQuery, Kind, RunKind, RunQuery, RunState
from persistence.ports.vector import Tombstone, VectorStore
from persistence.records import Memory
from tests.contract.vector.conftest import Backend
from tests.contract.vector.making import AT_ONCE, a_delete, a_write

USERS = ("ada", "bob", "Zoë 🜚")
FIRST, SECOND = Span(0, 1 << 23), Span(1 << 23, 1 << 24)


async def filled(store: VectorStore) -> None:
    """Store and delete, in several tenants; begin a run, and record what it found."""
    for user in USERS:
        await store.write_many([a_write(f"m{i:03}", user, digest=i) for i in range(40)], AT_ONCE)
        await store.delete_many([a_delete(f"m{i:03}", user) for i in range(0, 40, 8)], AT_ONCE)
    run = await store.begin_run(RunKind.CHECK, None, {"depth": "quick"}, holder=uuid4(), lease=60)
    await store.record(run.id, run.token, [Inconsistency("ada", "m001", Kind.MISSING)])
    await store.finish_run(run.id, run.token, RunState.DONE, {"ok": True})


async def seen(reader: Reader) -> tuple[object, ...]:
    """Return everything that a reader shows."""
    heads = sorted([*await reader.bucket_rows(None, [FIRST]), *await reader.bucket_rows(None, [SECOND])])
    truths = await reader.read([head.key for head in heads], embeddings=True)
    memories = [truths[head.key].memory for head in heads]
    buried = await reader.tombstones(None, after=None, limit=1_000)
    listed = await reader.outbox_page(dead=None, after=None, limit=1_000)
    found = await reader.inconsistencies(InconsistencyQuery(open=None))
    counted = await reader.count(None)
    return heads, memories, buried, listed, await reader.runs(RunQuery()), found, counted, (await reader.info()).floor


async def test_a_reader_shows_everything(store: VectorStore) -> None:
    """Heads, memories with embeddings, tombstones, outbox, runs, inconsistencies: as the store itself has them."""
    await filled(store)
    async with store.reader() as reader:
        assert await seen(reader) == await seen(store)
        heads = await reader.bucket_rows(None, [EVERYTHING])
        assert len(heads) == 3 * 35
        assert [h.id for h in await reader.bucket_rows("bob", [EVERYTHING])].__len__() == 35
        assert (await reader.count("bob")).value == 35
        stones = await reader.tombstones("bob", after=None, limit=2)
        assert [stone.id for stone in stones] == ["m000", "m008"]
        rest = await reader.tombstones(None, after=Key("bob", "m008"), limit=1_000)
        assert rest == (await store.tombstones(None, after=Key("bob", "m008"), limit=1_000))
        assert await reader.read([Key("nobody", "x")]) == {}
        found = (await reader.inconsistencies(InconsistencyQuery()))[0].inconsistency
        assert (found.memory_id, found.depth) == ("m001", Depth.QUICK)


async def test_it_stands_still_while_others_write(store: VectorStore) -> None:
    """Whatever is written, deleted, settled or collected meanwhile is not seen; and none of the writers waits."""
    if Capability.SNAPSHOT_READS not in store.capabilities:
        pytest.skip(f"{store.kind} has no {Capability.SNAPSHOT_READS.value}.")
    await filled(store)
    async with store.reader() as reader:
        before = await seen(reader)
        async with asyncio.timeout(10):
            await store.write_many([a_write(f"m{i:03}", "ada", digest=99) for i in range(60)], AT_ONCE)
            await store.delete_many([a_delete(f"m{i:03}", "bob") for i in range(40)], AT_ONCE)
            await store.write_many([a_write("new", "carl")], AT_ONCE)
            await store.raise_floor(2**52)
            run = await store.begin_run(RunKind.REPAIR, None, {}, holder=uuid4(), lease=60)
            await store.record(run.id, run.token, [Inconsistency("bob", "m001", Kind.ORPHAN)])
        assert await seen(reader) == before
    async with store.reader() as reader:
        assert await seen(reader) == await seen(store) != before


async def test_what_does_not_stand_still_misses_nothing(store: VectorStore) -> None:
    """On every store what was acknowledged before the reader was lent is seen, as it was or as it is by now."""
    await filled(store)
    async with store.reader() as reader:
        await store.write_many([a_write(f"m{i:03}", "ada", digest=99) for i in range(1, 40, 2)], AT_ONCE)
        heads = {head.key: head for head in await reader.bucket_rows("ada", [EVERYTHING])}
    assert {Key("ada", f"m{i:03}") for i in range(40) if i % 8} <= heads.keys()


async def test_several_look_at_moments_of_their_own(store: VectorStore) -> None:
    """Readers do not wait for each other, and each has its own moment; the store stays usable, also after them."""
    if Capability.SNAPSHOT_READS not in store.capabilities:
        pytest.skip(f"{store.kind} has no {Capability.SNAPSHOT_READS.value}.")
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(10):
            await store.write(a_write(f"m{number}"), AT_ONCE)
            readers.append(await stack.enter_async_context(store.reader()))
        counts = [(await reader.count(None)).value for reader in readers]
        assert counts == list(range(1, 11))
        assert (await store.count(None)).value == 10
    assert (await store.count(None)).value == 10


async def test_a_cancelled_reader_leaves_nothing_behind(store: VectorStore) -> None:
    """Cancelled at any of its calls, a reader is given back, and the store goes on as if there had been none."""
    await filled(store)
    for turns in range(12):
        task = asyncio.create_task(_read_all(store))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.write(a_write("after"), AT_ONCE)
    async with store.reader() as reader:
        assert (await reader.count(None)).value == 3 * 35 + 1


async def _read_all(store: VectorStore) -> None:
    async with store.reader() as reader:
        await seen(reader)


async def test_pages_of_a_reader_are_bounded(store: VectorStore) -> None:
    """Each page holds no more than was asked for, and together the pages hold all."""
    await filled(store)
    async with store.reader() as reader:
        stones: list[Tombstone] = []
        while page := await reader.tombstones(None, after=_last(stones), limit=4):
            assert len(page) <= 4
            stones += page
        assert stones == await store.tombstones(None, after=None, limit=1_000)
        memories: list[Memory] = []
        for low in range(0, 1 << 24, 1 << 20):
            keys = [head.key for head in await reader.bucket_rows(None, [Span(low, low + (1 << 20))])]
            memories += [t.memory for t in (await reader.read(keys)).values() if t.memory is not None]
        assert len(memories) == 3 * 35


def _last(stones: list[Tombstone]) -> Key | None:
    return Key(stones[-1].user_id, stones[-1].id) if stones else None


async def test_a_store_that_is_not_open_lends_none(backend: Backend) -> None:
    """A store that is not open says so, instead of showing nothing."""
    with pytest.raises(VectorStoreError):
        async with backend().reader() as reader:
            await reader.info()
