"""The folder of Qdrant's engine: whose it is, what is left alone, when the disk has it, and writers that are killed."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import qdrant_edge as edge

from persistence.errors import (
    ConfigurationError,
    EmbeddingMismatchError,
    OutcomeUnknownError,
    PersistenceError,
    VectorStoreError,
)
from persistence.ports.outbox import Key
from persistence.vector.qdrant import QdrantStore, edge_folder, make
from persistence.vector.qdrant.embedded import EmbeddedEngine
from tests.contract.vector.making import AT_ONCE, DIMENSION, IN_MEMORY, a_write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that is not there yet."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as above:
        yield Path(above) / "qdrant"


def opened(folder: Path, dimension: int = DIMENSION, **options: float) -> EmbeddedEngine:
    """Open a store, close it, and return its engine."""

    async def once() -> EmbeddedEngine:
        engine = EmbeddedEngine(folder, **options)
        store = QdrantStore(engine)
        await store.open(model="test", dimension=dimension)
        await store.close()
        return engine

    return asyncio.run(once())


def refused(folder: Path, error: type[PersistenceError], match: str = "", **given: int) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(error, match=match):
        opened(folder, **given)
    assert [path for path in sorted(folder.rglob("*")) if path.name != ".lock"] == [
        path for path in before if path.name != ".lock"
    ]


def test_asking_for_the_schema_makes_nothing(folder: Path) -> None:
    """The state of a folder that is not there, or of somebody else's, is 'no schema', and nothing is made."""
    state = asyncio.run(make(f"qdrant://{folder}").schema_state())
    assert (state.version, state.known) == (0, 1)
    assert not folder.exists()
    folder.mkdir()
    (folder / "theirs").write_text("theirs")
    state = asyncio.run(make(f"qdrant://{folder}").schema_state())
    assert (state.version, state.known) == (0, 1)
    assert [path.name for path in folder.iterdir()] == ["theirs"]


def test_the_schema_of_a_store(folder: Path) -> None:
    """The state of a store that was made is its version."""
    opened(folder)
    state = asyncio.run(make(f"qdrant://{folder}").schema_state())
    assert (state.version, state.known) == (1, 1)


@pytest.mark.parametrize("theirs", ["meta.json", "collection/x/storage.sqlite", "raft_state.json", ".git/config"])
def test_a_folder_of_another_application(folder: Path, theirs: str) -> None:
    """A folder with something that no store of ours has made is refused, and nothing is put into it."""
    (folder / theirs).parent.mkdir(parents=True)
    (folder / theirs).write_text("{}")
    refused(folder, ConfigurationError, "not the vector store's")


def test_a_path_that_is_no_folder(folder: Path) -> None:
    """A file in the place of the folder, or above it, is refused."""
    folder.write_text("a file")
    for path in (folder, folder / "below"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            opened(path)


def test_another_dimension(folder: Path) -> None:
    """A folder of another dimension is refused and stays what it is."""
    opened(folder)
    with pytest.raises(EmbeddingMismatchError):
        opened(folder, dimension=DIMENSION + 1)
    opened(folder)


@pytest.mark.parametrize("distance", [edge.Distance.Cosine, edge.Distance.Dot])
def test_a_collection_of_another_application(folder: Path, distance: edge.Distance) -> None:
    """A collection of our name that somebody else made is refused: another distance, or points that are not ours."""
    folder.mkdir()
    params = {"": edge.EdgeVectorParams(size=DIMENSION, distance=distance)}
    shard = edge.EdgeShard.create(str(folder / "diptych"), edge.EdgeConfig(vectors=params))
    if distance == edge.Distance.Dot:
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [1.0] * DIMENSION, {"theirs": True})]))
    shard.close()
    with pytest.raises(ConfigurationError, match="not made by diptych"):
        opened(folder)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_configuration(folder: Path, damage: bytes) -> None:
    """A collection whose description cannot be read is an error that says so, not a new collection over the old one."""
    opened(folder)
    (folder / "diptych" / "edge_config.json").write_bytes(damage)
    refused(folder, VectorStoreError, "cannot be read")


def test_a_collection_that_was_made_by_half(folder: Path) -> None:
    """What a process left that died while it made a collection is cleared away by the next one."""
    (folder / "diptych.unfinished" / "segments").mkdir(parents=True)
    (folder / "diptych.unfinished" / "segments" / "half").write_text("")
    opened(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "diptych", "diptych_runs"]


@pytest.mark.parametrize(
    "url",
    [
        "qdrant:///%00",
        "qdrants:///folder",
        "qdrant://[::1",
        "qdrant://host/a/b",
        "qdrant://host/a%3Fb",
        "qdrant:///folder?flush_every=-1",
        "qdrant:///folder?flush_every=nan",
        "qdrant:///folder?flush_every=",
        "qdrant:///folder?on_disk=true",
    ],
)
def test_garbage_for_a_url(url: str) -> None:
    """A URL that names nothing that can be had, or has an unknown option, is refused before anything is touched."""
    with pytest.raises(ConfigurationError):
        make(url)


class Watched(EmbeddedEngine):
    """An engine whose flushes are counted, and can fail."""

    def __init__(self, folder: Path, *, flush_every: float) -> None:
        super().__init__(folder, flush_every=flush_every)
        self.flushed = threading.Event()
        self.flushes = 0
        self.broken = False

    def _flush(self) -> None:
        if self.broken:
            raise VectorStoreError("The disk is gone.")
        self.flushes += bool(self._unflushed)
        super()._flush()
        if self.flushes:
            self.flushed.set()


async def test_a_write_is_on_the_disk_before_it_is_acknowledged(folder: Path) -> None:
    """With ``flush_every`` 0 each write is flushed, no read is, and one that cannot be has an unknown outcome."""
    engine = Watched(folder, flush_every=0)
    store = QdrantStore(engine)
    await store.open(model="test", dimension=DIMENSION)
    try:
        before = engine.flushes
        await store.write(a_write("a"), AT_ONCE)
        await store.write_many([a_write("b"), a_write("c")], AT_ONCE)
        await store.read([Key("ada", "a")])
        assert await store.settle([]) == 0
        assert engine.flushes == before + 2
        engine.broken = True
        with pytest.raises(OutcomeUnknownError):
            await store.write(a_write("d"), AT_ONCE)
        engine.broken = False
        await store.write(a_write("e"), AT_ONCE)
    finally:
        await store.close()


async def test_what_was_written_is_on_the_disk_some_time_later(folder: Path) -> None:
    """With an interval the disk has a write at its end, though no other call follows, and at close in any case."""
    engine = Watched(folder, flush_every=0.05)
    store = QdrantStore(engine)
    await store.open(model="test", dimension=DIMENSION)
    await store.write(a_write("a"), AT_ONCE)
    assert await asyncio.to_thread(engine.flushed.wait, 10)
    await store.close()
    later = Watched(folder, flush_every=3_600)
    store = QdrantStore(later)
    await store.open(model="test", dimension=DIMENSION)
    await store.write(a_write("b"), AT_ONCE)
    assert later.flushes == 0
    timer = later._timer
    await store.close()
    assert later.flushes == 1
    assert timer is not None
    assert timer.finished.is_set()


def killed_after(folder: Path, seed: int, lines: int) -> list[tuple[str, int, str | None]]:
    """Let a process write until it was heard so often, kill it, and return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.integration.qdrant_child", str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines + 1)]
        child.kill()
        said += child.stdout.readlines()
    return [tuple(json.loads(line)) for line in said[1:] if line.endswith("\n")]


async def check(folder: Path, acknowledged: dict[str, tuple[int, str | None]]) -> None:
    """Every acknowledged write is there, or a newer one; every memory is listed at its version, or was settled."""
    store = make(f"qdrant://{folder}")
    await store.open(model="test", dimension=DIMENSION)
    try:
        keys = [Key("ada", memory_id) for memory_id in acknowledged]
        there, listed = await store.read(keys, embeddings=True), await store.pending(keys)
        for key in keys:
            version, content = acknowledged[key.id]
            truth = there[key]
            assert truth.version >= version, key.id
            if truth.version == version:
                assert (truth.memory.content if truth.memory else None) == content, key.id
            if key in listed:
                assert listed[key].version == truth.version
        live = sum(truth.memory is not None for truth in there.values())
        assert (await store.count(None)).value >= live
        await store.write(a_write("after"), AT_ONCE)
    finally:
        await store.close()


async def survive(folder: Path, rounds: int, seed: int) -> None:
    """Kill a writer again and again on one folder; now and then before it has opened it."""
    rng, acknowledged = random.Random(seed), dict[str, tuple[int, str | None]]()
    for number in range(rounds):
        heard = rng.choice([0, 1, rng.randrange(2, 60), rng.randrange(60, 300)]) if number else 0
        for memory_id, version, content in await asyncio.to_thread(killed_after, folder, seed * 1_000 + number, heard):
            assert version > acknowledged.get(memory_id, (0, None))[0] or content is None, f"seed {seed}"
            acknowledged[memory_id] = version, content
        await check(folder, acknowledged)
    assert acknowledged


async def test_killed_at_random(folder: Path) -> None:
    """I1: of a process killed at random (seed 5, 5 rounds) no acknowledged write is lost; the folder opens again."""
    await survive(folder, 5, seed=5)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_killed_at_random_fifty_times(folder: Path) -> None:
    """I1: the same in 50 rounds (seed 6)."""
    await survive(folder, 50, seed=6)


def test_killed_while_collections_are_made(folder: Path) -> None:
    """Whoever dies at any step of making the collections (seed: the step) leaves a folder that the next one opens."""
    for step in range(4):
        place = folder / f"{step}"
        command = [sys.executable, "-m", "tests.integration.qdrant_child", str(place), f"-{step}"]
        assert subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == -9
        opened(place)
        assert edge_folder.can_open(place, "diptych")
