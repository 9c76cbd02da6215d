"""Two hundred thousand memories are backed up while a writer goes on, and restored into an empty store."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.sqlite import SqliteStore
from sync.backing import restore, verify
from tests.backing import CONFIG, backed_up
from tests.contract.vector.making import AT_ONCE, a_write, vector_of
from tests.moving import USERS, Writer, opened

MANY, DIMENSION = int(os.environ.get("DIPTYCH_TEST_BACKUP", "200000")), 384


async def fill_up(store: VectorStore) -> None:
    vectors = [vector_of(str(i), DIMENSION) for i in range(1_000)]
    await store.begin_load()
    for start in range(0, MANY, 5_000):
        ids = range(start, start + 5_000)
        writes = [a_write(f"m{i:06}", USERS[i % 3], digest=i, embedding=vectors[i % 1_000]) for i in ids]
        await store.write_many(writes, AT_ONCE)


async def versions(store: VectorStore) -> dict[Key, int]:
    """Return what there is, at which versions: memories, then tombstones, so that no delete falls in between."""
    found: dict[Key, int] = {}
    after: Key | None = None
    while page := await store.walk(None, after=after, limit=5_000):
        after = Key(page[-1].user_id, page[-1].id)
        found |= {Key(one.user_id, one.id): one.version for one in page}
    return found | {Key(s.user_id, s.id): s.version for s in await store.tombstones(None, after=None, limit=MANY)}


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_two_hundred_thousand(postgres_url: str, pg_schema: str, tmp_path: Path) -> None:
    """Everything acknowledged before the snapshot is there, nothing is otherwise, and memory stays bounded."""
    async with (
        opened(lambda: PgVectorStore(postgres_url, schema=pg_schema), dimension=DIMENSION) as source,
        opened(lambda: SqliteStore(tmp_path / "new.db"), dimension=DIMENSION) as target,
    ):
        await fill_up(source)
        before = await versions(source)
        peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        async with Writer(source, 1, MANY, DIMENSION) as writer:
            full = await backed_up(source, tmp_path / "b")
        made = time.monotonic()
        more = await backed_up(source, tmp_path / "b", incremental=True)
        again = time.monotonic()
        assert (await verify(tmp_path / "b" / full.name))[0].live == full.live
        verified = time.monotonic()
        report = await restore(target, tmp_path / "b", config=CONFIG)
        restored = time.monotonic()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1_000
        print(full, more, report, sep="\n")  # noqa: T201  # the figures
        print(f"{made - began:.1f} s, {again - made:.1f} s, {verified - again:.1f} s, {restored - verified:.1f} s")  # noqa: T201
        print(f"{grown:.0f} MB more than before, {writer.done} changes meanwhile")  # noqa: T201
        assert report.in_step
        there = await versions(target)
        assert there.keys() >= before.keys()
        assert all(there[key] >= version for key, version in before.items())
        assert there == await versions(source)
        assert grown < 400
