"""A pair of stores under load is backed up, and comes back as another pair: truth restored, the graph rebuilt."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence import AsyncPersistenceService, Key
from persistence.errors import BackupDamagedError
from sync import AsyncSyncService, Depth
from sync.backing import restore
from sync.model import Checked
from tests.backing import CONFIG, backed_up
from tests.faults.stores import Stores, StoresOnPostgres, vector

MANY = int(os.environ.get("DIPTYCH_TEST_BACKUP", "200000"))
USERS = ("ann", "ben", "cleo")
#: Memories of one call, tasks that write meanwhile, memories that they write to, and entities that memories share.
BATCH, WRITERS, SPAN, ENTITIES = 2_000, 4, 5_000, 3_000
SEED = 20


def a_draft(number: int, content: str) -> dict[str, Any]:
    """Return a memory of two entities that it shares with others."""
    names = [{"name": f"Entity {(number * step) % ENTITIES}", "type": "Thing"} for step in (1, 7)]
    edges = [{"source": names[0]["name"], "type": "NEXT_TO", "target": names[1]["name"]}]
    return {
        "user_id": USERS[number % len(USERS)],
        "id": f"m{number:06}",
        "content": content,
        "entities": names,
        "relationships": edges,
        "embedding": vector(number),
    }


class Writers:
    """Tasks that store and delete until they are stopped; ``acknowledged``: the last version that was answered."""

    def __init__(self, memories: AsyncPersistenceService, number: int) -> None:
        self.acknowledged: dict[Key, int] = {}
        self.done = 0
        self._memories = memories
        self._number = number
        self._more = asyncio.Condition()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Writers]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work(random.Random(SEED + place))) for place in range(WRITERS)]
            yield self
            for task in tasks:
                task.cancel()

    async def _work(self, chance: random.Random) -> None:
        while True:
            draft = a_draft(chance.randrange(self._number), f"written {chance.random()}")
            key = Key(draft["user_id"], draft["id"])
            if chance.random() < 0.3:
                answer = await self._memories.delete(key.id, user_id=key.user_id)
            else:
                answer = await self._memories.store(**draft)
            async with self._more:
                self.done += 1
                self._more.notify_all()
            if answer.version is not None:
                self.acknowledged[key] = max(answer.version, self.acknowledged.get(key, 0))

    async def some(self, number: int) -> None:
        """Wait until so many more writes were answered."""
        enough = self.done + number
        async with self._more:
            await self._more.wait_for(lambda: self.done >= enough)


@pytest.fixture
def another(stores: Stores, postgres_url: str) -> Iterator[StoresOnPostgres]:
    """Return a pair with nothing in it, on PostgreSQL alone."""
    pair = StoresOnPostgres(postgres_url, f"{stores.schema}_new", postgres_url)
    yield pair
    with psycopg.connect(postgres_url, autocommit=True, connect_timeout=10) as connection:
        for name in (pair.schema, pair.graph_schema):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


async def _load(memories: AsyncPersistenceService, number: int) -> None:
    async with memories.bulk_load():
        for start in range(0, number, BATCH):
            await memories.store_many(
                [a_draft(one, f"memory {one}") for one in range(start, min(start + BATCH, number))]
            )


def _damaged(folder: Path, copy: Path) -> Path:
    """Copy a backup, one byte in the middle of its largest file another one."""
    shutil.copytree(folder, copy)
    largest = max((path for path in copy.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))
    return copy


async def _backed_up_under_load(stores: Stores, number: int, path: Path) -> tuple[str, dict[Key, int], int]:
    """Return the backup's name, what was acknowledged before it began, and how many writes there were beside it."""
    async with stores.service(enable_relay=True) as memories:
        await _load(memories, number)
        async with Writers(memories, min(SPAN, number)).at_work() as writers:
            await writers.some(max(20, number // 100))
            before, began = dict(writers.acknowledged), writers.done
            report = await backed_up(memories.parts.truth.store, path)
            return report.name, before, writers.done - began


async def _restored(another: Stores, path: Path, before: dict[Key, int]) -> None:
    async with another.service() as memories:
        store = memories.parts.truth.store
        report = await restore(store, path, graph=True, config=CONFIG)
        assert report.in_step
        rebuilt = await AsyncSyncService(memories).rebuild_graph()
        assert rebuilt.complete
        await memories.drain()
        check = await AsyncSyncService(memories).check_consistency(Depth.FULL)
        assert (check.complete, check.found, check.pending) == (True, 0, 0)
        assert check.checked == Checked(report.live, report.live)
        for keys in _pages(list(before)):
            there = await store.standings(keys)
            assert [key for key in keys if (there[key].version or 0) < before[key]] == []


def _pages(keys: list[Key]) -> Iterator[list[Key]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


async def _tried(stores: Stores, another: StoresOnPostgres, tmp_path: Path, number: int) -> None:
    began = time.monotonic()
    name, before, beside = await _backed_up_under_load(stores, number, tmp_path / "b")
    made = time.monotonic()
    async with another.service() as memories:
        with pytest.raises(BackupDamagedError):
            await restore(
                memories.parts.truth.store, _damaged(tmp_path / "b" / name, tmp_path / "bad" / name), config=CONFIG
            )
        assert await memories.parts.truth.store.walk(None, after=None, limit=1) == []
    await _restored(another, tmp_path / "b", before)
    said = f"{number:,} memories filled and backed up in {made - began:.0f} s beside {beside:,} writes"
    sys.stdout.write(f"{said}; {len(before):,} acknowledged before; restored in {time.monotonic() - made:.0f} s\n")
    assert beside > 0


async def test_a_pair_comes_back(stores: Stores, another: StoresOnPostgres, tmp_path: Path) -> None:
    """All that was acknowledged before is there, the rebuilt graph is in step, and a damaged backup writes nothing."""
    await _tried(stores, another, tmp_path, 300)


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_a_large_pair_comes_back(stores: Stores, another: StoresOnPostgres, tmp_path: Path) -> None:
    """The same of 200,000 memories."""
    await _tried(stores, another, tmp_path, MANY)
