"""Several processes on one SQLite file, and processes that are killed while they write."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from persistence.vector.sqlite import SqliteStore
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write, vector_of

#: What a child has acknowledged: by id, the version and the content.
Acknowledged = dict[str, tuple[int, str | None]]


async def start(path: Path, name: str, seed: int, count: int) -> asyncio.subprocess.Process:
    command = ["-m", "tests.integration.sqlite_child", str(path), name, str(seed), str(count)]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )


def take(line: bytes, seen: Acknowledged) -> None:
    """Note one acknowledgement; fail where a version does not grow."""
    memory_id, version, content = json.loads(line)
    former, what = seen.get(memory_id, (0, None))
    again = content is None and what is None and version == former
    assert version > former or again, f"{memory_id} went from {former} to {version}"
    seen[memory_id] = version, content


async def listen(process: asyncio.subprocess.Process, seen: Acknowledged, lines: int = sys.maxsize) -> None:
    """Note what the child says, up to so many lines."""
    assert process.stdout is not None
    while lines and (line := await process.stdout.readline()).endswith(b"\n"):
        take(line, seen)
        lines -= 1


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open(model="test", dimension=DIMENSION)
    return store


async def assert_kept(store: VectorStore, seen: Acknowledged) -> None:
    """Fail where what was acknowledged last of a memory is neither there nor overtaken, or is in no outbox and new."""
    found = await store.read([Key("ada", memory_id) for memory_id in seen])
    for memory_id, (version, content) in seen.items():
        truth = found[Key("ada", memory_id)]
        assert truth.version is not None
        assert truth.version >= version, memory_id
        if truth.version == version:
            assert (truth.memory.content if truth.memory else None) == content, memory_id


async def test_two_processes_write_one_file(tmp_path: Path) -> None:
    """Two processes that write at once lose nothing of each other's, and a third reads what both wrote (seeds 1, 2)."""
    path, seen = tmp_path / "truth.db", [Acknowledged(), Acknowledged()]
    store = await opened(path)
    children = [await start(path, name, seed, 60) for name, seed in (("a", 1), ("b", 2))]
    try:
        await asyncio.gather(*(listen(*pair) for pair in zip(children, seen, strict=True)))
        assert [await child.wait() for child in children] == [0, 0]
        for one in seen:
            assert len(one) > 20
            await assert_kept(store, one)
        hits = await store.search("ada", vector_of("a1"), limit=1_000, where=Filter())
        assert {memory.id for memory, _ in hits} == {
            memory_id for one in seen for memory_id, (_, content) in one.items() if content is not None
        }
    finally:
        await store.close()


async def killed_while_it_writes(path: Path, seed: int) -> Acknowledged:
    """Let a child write until it was heard a random number of times, kill it, and return what it acknowledged."""
    rng, seen = random.Random(seed), Acknowledged()
    child = await start(path, "k", seed, 0)
    await listen(child, seen, rng.randrange(1, 120))
    child.kill()
    await listen(child, seen)
    await child.wait()
    return seen


async def kill_rounds(path: Path, seeds: range) -> None:
    """Kill a writer again and again on one file: nothing acknowledged is lost, and the file stays whole."""
    everything = Acknowledged()
    for seed in seeds:
        seen = await killed_while_it_writes(path, seed)
        for memory_id, (version, content) in seen.items():
            assert version > everything.get(memory_id, (0, None))[0] or content is None, f"seed {seed}: {memory_id}"
            everything[memory_id] = version, content
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"seed {seed}"
        store = await opened(path)
        try:
            await assert_kept(store, everything)
            await assert_listed(store, everything)
            await store.write(a_write("after", content=f"{seed}"), AT_ONCE)
        finally:
            await store.close()


async def assert_listed(store: VectorStore, seen: Acknowledged) -> None:
    """Fail where an outbox entry names another version than truth has: both are one write."""
    entries = await store.pending([Key("ada", memory_id) for memory_id in seen])
    found = await store.read(list(entries))
    assert {key: entry.version for key, entry in entries.items()} == {key: found[key].version for key in entries}


@pytest.mark.long
async def test_a_killed_writer(tmp_path: Path) -> None:
    """A process killed at random (seeds 0 to 9) leaves a whole file that holds all it acknowledged; versions grow."""
    await kill_rounds(tmp_path / "truth.db", range(10))


@pytest.mark.long
async def test_many_killed_writers(tmp_path: Path) -> None:
    """The same fifty times (seeds 100 to 149)."""
    await kill_rounds(tmp_path / "truth.db", range(100, 150))
