"""File stores whose disk is full. The limit is RLIMIT_FSIZE of a process of its own: no file grows beyond it."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from persistence.errors import GraphUnavailableError, PersistenceError, VectorStoreError
from persistence.files import FilePolicy
from persistence.graph.memory import FileGraph
from persistence.ports.graph import GraphCounts
from persistence.ports.outbox import Key
from persistence.vector.memory import FileStorage, MemoryStore
from tests.contract.graph.conftest import say_write
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write

NEVER = FilePolicy(persist_every=1e9)
ROOM = 40_000


async def go_on(store: MemoryStore, written: list[str]) -> None:
    while True:
        await store.write(a_write(f"m{len(written)}", content="x" * 2_000), AT_ONCE)
        written.append(f"m{len(written)}")


async def fill_truth(folder: Path) -> list[str]:
    """Write until there is no room; return what was acknowledged, after making sure that nothing else is there."""
    storage = FileStorage(folder, NEVER)
    store = MemoryStore(storage)
    await store.open(model="test", dimension=DIMENSION)
    written: list[str] = []
    with pytest.raises(VectorStoreError, match="refused"):
        await go_on(store, written)
    refused = Key("ada", f"m{len(written)}")
    assert await store.read([refused]) == {}
    assert await store.pending([refused]) == {}
    assert len(await store.walk(None, after=None, limit=1_000)) == len(written)
    await store.write(a_write("small", content="x"), AT_ONCE)
    await store.close()
    return [*written, "small"]


async def fill_graph(folder: Path) -> int:
    graph = FileGraph(folder, NEVER)
    await graph.open()
    written: list[str] = []
    with pytest.raises(GraphUnavailableError, match="refused"):
        await go_on_in_graph(graph, written)
    assert await graph.counts(None) == GraphCounts(len(written), 0, 0)
    await graph.close()
    return len(written)


async def go_on_in_graph(graph: FileGraph, written: list[str]) -> None:
    while True:
        await graph.apply([say_write(f"m{len(written)}", 1, text="x" * 100, agent_id="a" * 200)], timeout=30)
        written.append(f"m{len(written)}")


async def fail_to_persist(folder: Path) -> list[str]:
    """Have a snapshot fail; the former one stays whole, and so does what was written since."""
    storage = FileStorage(folder, NEVER)
    store = MemoryStore(storage)
    await store.open(model="test", dimension=DIMENSION)
    await store.write_many([a_write(f"m{n}", content="x" * 2_000) for n in range(12)], AT_ONCE)
    await storage.persist()
    await store.write_many([a_write(f"n{n}", content="x" * 2_000) for n in range(12)], AT_ONCE)
    with pytest.raises(OSError, match="File too large"):
        await storage.persist()
    await store.write(a_write("after"), AT_ONCE)
    await store.close()
    return [f"{kind}{n}" for kind in "mn" for n in range(12)] + ["after"]


JOBS = {"truth": fill_truth, "graph": fill_graph, "persist": fail_to_persist}


def run(job: str, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.integration.test_files_full", job, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, timeout=60)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("job", ["truth", "persist"])
async def test_a_full_disk_under_truth(tmp_path: Path, job: str) -> None:
    """A write for which there is no room is refused and nowhere; what was acknowledged is there when it is opened."""
    written = await asyncio.to_thread(run, job, tmp_path)
    store = MemoryStore(FileStorage(tmp_path, NEVER))
    await store.open(model="test", dimension=DIMENSION)
    assert {memory.id for memory in await store.walk(None, after=None, limit=1_000)} == set(written)
    assert store.notices == ()
    await store.close()


async def test_a_full_disk_under_a_graph(tmp_path: Path) -> None:
    """To a graph a full disk is an outage: the write is refused, and owed."""
    written = await asyncio.to_thread(run, "graph", tmp_path)
    graph = FileGraph(tmp_path, NEVER)
    await graph.open()
    assert (await graph.counts(None)).memories == written
    assert graph.notices == ()
    await graph.close()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    try:
        answer = asyncio.run(JOBS[sys.argv[1]](Path(sys.argv[2])))
    except PersistenceError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
