"""The service on stores in memory and in files, by their URLs."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from persistence import AsyncPersistenceService
from persistence.errors import ConfigurationError, VectorStoreUnavailableError
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.records import Entity, Relationship
from persistence.results import Outcome
from persistence.vector.memory import FileStorage, MemoryStore
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, vector_of

ENTITIES = [Entity(name="Ada", type="Person"), Entity(name="Babbage & Co.", type="Organisation")]
WORKS = [Relationship(source="Ada", type="WORKS_AT", target="Babbage & Co.")]
TEXT = "Ada works at Babbage & Co."


@pytest.mark.parametrize("graph", ["memory://", "none://"])
async def test_all_in_memory(graph: str) -> None:
    """A truth in memory needs nothing else; two services have one each."""
    async with (
        AsyncPersistenceService.connect(vector="memory://", graph=graph) as memories,
        AsyncPersistenceService.connect(vector="memory://", graph=graph) as others,
    ):
        stored = await memories.store(TEXT, user_id="u", entities=ENTITIES, relationships=WORKS)
        assert stored.outcome is Outcome.IN_STEP
        assert [hit.memory.id for hit in await memories.search("who works where?", user_id="u")] == [stored.id]
        assert await others.get(stored.id, user_id="u") is None


async def test_all_in_files(tmp_path: Path) -> None:
    """A truth and a graph in one folder outlive the process, belong together, and are in step."""
    url = tmp_path.joinpath("a b").as_uri()
    async with AsyncPersistenceService.connect(vector=url, graph=url) as memories:
        stored = await memories.store(TEXT, user_id="u", entities=ENTITIES, relationships=WORKS)
        other = await memories.store("Ada again", user_id="u", entities=ENTITIES[:1], relationships=[])
        assert (stored.outcome, other.outcome) == (Outcome.IN_STEP, Outcome.IN_STEP)
    async with AsyncPersistenceService.connect(vector=url, graph=url) as memories:
        found = await memories.related(stored.id, user_id="u")
        assert [hit.memory.id for hit in found] == [other.id]
        health = await memories.get_health()
        assert (health.vector.kind, health.graph.kind, health.outbox.pending) == ("file", "file", 0)
        assert (await memories.get(stored.id, user_id="u")).content == TEXT


async def test_another_process_is_refused(tmp_path: Path) -> None:
    """A second process is told which one has the files, and the first one goes on."""
    url = tmp_path.as_uri()
    code = f"from persistence import PersistenceService\nPersistenceService.connect(vector={url!r}).__enter__()"
    async with AsyncPersistenceService.connect(vector=url, graph="none://") as memories:
        command = [sys.executable, "-c", code]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert VectorStoreUnavailableError.__name__ in done.stderr
        assert "is in use by process" in done.stderr
        assert (await memories.store(TEXT, user_id="u")).outcome is Outcome.IN_STEP


@pytest.mark.parametrize("url", ["file://host/folder", "file://", "file:///"])
async def test_urls_that_name_no_folder(url: str) -> None:
    """A file URL of another machine, or of no folder, is refused before anything is made."""
    with pytest.raises(ConfigurationError):
        async with AsyncPersistenceService.connect(vector=url, graph="none://"):
            pass


async def contents(store: MemoryStore) -> dict[str, tuple[int | None, str | None]]:
    keys = [Key("ada", f"m{n}") for n in range(10)]
    found = await store.read(keys)
    return {key.id: (t.version, t.memory.content if t.memory else None) for key, t in found.items()}


async def test_cancelled_at_random(tmp_path: Path) -> None:
    """Of calls cancelled at random (seed 3) each is done whole or not at all, in memory as in the files."""
    rng = random.Random(3)
    store = MemoryStore(FileStorage(tmp_path))
    await store.open(model="test", dimension=DIMENSION)
    for round_ in range(100):
        memory_id = f"m{rng.randrange(10)}"
        work = (
            store.delete_many([a_delete(memory_id)], AT_ONCE)
            if rng.random() < 0.3
            else store.write(a_write(memory_id, content=str(round_)), AT_ONCE)
        )
        task = asyncio.ensure_future(work)
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    await store.write(a_write("m0", content="last"), AT_ONCE)
    before = await contents(store)
    await store.close()
    await store.open(model="test", dimension=DIMENSION)
    assert await contents(store) == before
    assert before["m0"][1] == "last"
    await store.close()


async def test_searches_beside_writes() -> None:
    """A search sees each memory as it was at one moment, however often it is replaced meanwhile (seed 4)."""
    store = MemoryStore()
    await store.open(model="test", dimension=DIMENSION)
    names = [f"{n:03}" for n in range(200)]
    await store.write_many([a_write(name) for name in names], AT_ONCE)

    async def replace_all() -> None:
        rng = random.Random(4)
        for _ in range(400):
            await store.write(a_write(rng.choice(names)), AT_ONCE)
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(replace_all())
    expected = [memory.id for memory, _ in await store.search("ada", vector_of("q"), limit=9, where=Filter())]
    while not writing.done():
        hits = await store.search("ada", vector_of("q"), limit=9, where=Filter())
        assert [memory.id for memory, _ in hits] == expected
    await writing
    await store.close()
