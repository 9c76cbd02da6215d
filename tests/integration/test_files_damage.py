"""File stores whose files were damaged, each in its way: what can be had is had, what cannot is said and kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from persistence.errors import (
    ConfigurationError,
    EmbeddingMismatchError,
    GraphUnavailableError,
    SchemaTooNewError,
    VectorStoreError,
    VectorStoreUnavailableError,
)
from persistence.files import FilePolicy
from persistence.files.frames import pack
from persistence.graph.memory import FileGraph
from persistence.ports.capabilities import Capability
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity
from persistence.vector.memory import FileStorage, MemoryStore
from tests.contract.graph.conftest import say_write
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write

NEVER = FilePolicy(persist_every=1e9)


async def opened(folder: Path, policy: FilePolicy = NEVER) -> MemoryStore:
    store = MemoryStore(FileStorage(folder, policy))
    await store.open(model="test", dimension=DIMENSION)
    return store


async def written(folder: Path, *batches: str) -> list[int]:
    """Write each batch of ids, with a snapshot after each but the last; return the size of the log after each write."""
    sizes = []
    storage = FileStorage(folder, NEVER)
    store = MemoryStore(storage)
    await store.open(model="test", dimension=DIMENSION)
    for number, ids in enumerate(batches):
        if number:
            await storage.persist()
        for name in ids:
            await store.write(a_write(name), AT_ONCE)
            sizes.append(newest(folder, "log").stat().st_size)
    await store.close()
    return sizes


def newest(folder: Path, kind: str) -> Path:
    return max(folder.glob(f"truth-*.{kind}"))


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


async def ids_in(folder: Path) -> tuple[set[str], tuple[str, ...]]:
    """Open the store; return what is there, and what is said of its files."""
    store = await opened(folder)
    try:
        return {memory.id for memory in await store.walk(None, after=None, limit=100)}, store.notices
    finally:
        await store.close()


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("cut", [1, 20, 33, 150])
async def test_a_torn_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    """A record whose end is missing was never acknowledged: it is cut off in silence, and writing goes on."""
    sizes = await written(tmp_path, "abc")
    os.truncate(newest(tmp_path, "log"), sizes[1] + cut)
    assert await ids_in(tmp_path) == ({"a", "b"}, ())
    store = await opened(tmp_path)
    await store.write(a_write("d"), AT_ONCE)
    await store.close()
    assert await ids_in(tmp_path) == ({"a", "b", "d"}, ())


@pytest.mark.parametrize("place", [0, 5, 9, 20, 60, -1])
async def test_damage_in_the_middle_is_said(tmp_path: Path, place: int) -> None:
    """Nothing after a damaged record is trusted; the log is kept as it was under another name, and that is said."""
    sizes = await written(tmp_path, "abcd")
    flip(newest(tmp_path, "log"), sizes[1] + place if place >= 0 else sizes[2] - 1)
    there, (notice,) = await ids_in(tmp_path)
    assert there == {"a", "b"}
    (aside,) = files(tmp_path, "*.damaged-*")
    assert aside.name in notice
    assert aside.stat().st_size == sizes[-1]
    assert await ids_in(tmp_path) == ({"a", "b"}, ())


async def test_a_damaged_last_record_is_said(tmp_path: Path) -> None:
    """A last record that is whole but wrong was acknowledged once: it is not passed over in silence."""
    sizes = await written(tmp_path, "ab")
    flip(newest(tmp_path, "log"), sizes[-1] - 1)
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == ({"a"}, 1)


@pytest.mark.parametrize("offset", [0, 40, 300, -3])
async def test_a_damaged_snapshot_loses_nothing(tmp_path: Path, offset: int) -> None:
    """Where the newest snapshot is damaged, a backup and the logs since say the same; the damaged one is set aside."""
    await written(tmp_path, "ab", "cd", "ef")
    damaged = newest(tmp_path, "snapshot")
    flip(damaged, offset)
    there, (notice,) = await ids_in(tmp_path)
    assert there == set("abcdef")
    assert damaged.name in notice
    assert not damaged.exists()
    assert await ids_in(tmp_path) == (set("abcdef"), ())


async def test_the_only_snapshot_damaged(tmp_path: Path) -> None:
    """The log from the beginning is a backup, too."""
    await written(tmp_path, "ab", "cd")
    flip(newest(tmp_path, "snapshot"), 60)
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == (set("abcd"), 1)


async def test_a_snapshot_without_its_end(tmp_path: Path) -> None:
    """A snapshot that ends too early is a damaged one."""
    await written(tmp_path, "ab", "cd", "ef")
    path = newest(tmp_path, "snapshot")
    os.truncate(path, path.stat().st_size - 36)
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == (set("abcdef"), 1)


async def test_every_snapshot_damaged(tmp_path: Path) -> None:
    """Where nothing good is left, the store does not open as an empty one, however often it is tried."""
    await written(tmp_path, *"abcdefg")
    for path in files(tmp_path, "*.snapshot"):
        flip(path, 50)
    before = files(tmp_path)
    for _ in range(2):
        with pytest.raises(VectorStoreError, match="Every snapshot"):
            await opened(tmp_path)
    assert files(tmp_path) == before


async def test_a_log_that_is_missing(tmp_path: Path) -> None:
    """What follows a missing log is not trusted, and that is said."""
    await written(tmp_path, "ab", "cd", "ef")
    newest(tmp_path, "snapshot").unlink()
    newest(tmp_path, "snapshot").with_suffix(".log").unlink()
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == (set("ab"), 2)


async def test_the_last_log_missing(tmp_path: Path) -> None:
    """A snapshot whose own log is missing is used, and it is said that something may be lost."""
    await written(tmp_path, "ab", "cd")
    newest(tmp_path, "log").unlink()
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == (set("ab"), 1)


async def test_a_log_that_ends_too_early(tmp_path: Path) -> None:
    """A log that ends before the next one begins, though at a record's end, is found out; what follows is set aside."""
    sizes = await written(tmp_path, "ab", "cd", "ef")
    for path in files(tmp_path, "*.snapshot"):
        path.unlink()
    os.truncate(tmp_path / "truth-00000001.log", sizes[0])
    there, notices = await ids_in(tmp_path)
    assert (there, len(notices)) == ({"a"}, 2)
    assert len(files(tmp_path, "*.damaged-*")) == 2
    assert await ids_in(tmp_path) == ({"a"}, ())


async def test_what_a_dead_process_left_unfinished(tmp_path: Path) -> None:
    """A snapshot that was not finished is removed, and nothing depends on it."""
    await written(tmp_path, "ab")
    unfinished = tmp_path / "truth-00000002.snapshot.unfinished"
    unfinished.write_bytes(b"half")
    assert await ids_in(tmp_path) == ({"a", "b"}, ())
    assert not unfinished.exists()


async def test_backups_rotate(tmp_path: Path) -> None:
    """So many former snapshots are kept as the policy says, each with the logs that lead from it to now."""
    await written(tmp_path, *"abcdefg")
    assert [path.name for path in files(tmp_path, "truth-*.[ls]*") if path.suffix != ".lock"] == [
        name for n in range(4, 8) for name in (f"truth-0000000{n}.log", f"truth-0000000{n}.snapshot")
    ]


async def test_a_second_opening_is_refused(tmp_path: Path) -> None:
    """Whoever opens a store that is open elsewhere is told who has it, for truth and graph alike."""
    first, graph = await opened(tmp_path), FileGraph(tmp_path)
    await graph.open()
    try:
        with pytest.raises(VectorStoreUnavailableError, match=f"in use by process {os.getpid()} since"):
            await opened(tmp_path)
        with pytest.raises(GraphUnavailableError, match=f"in use by process {os.getpid()} since"):
            await FileGraph(tmp_path).open()
    finally:
        await first.close()
        await graph.close()
    await (await opened(tmp_path)).close()


async def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    """A path that can be no folder is refused by type."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        await opened(tmp_path / "file")


async def test_files_of_a_newer_version(tmp_path: Path) -> None:
    """Files of a format that this version does not know are left as they are."""
    header = json.dumps({"kind": "truth", "format": 99, "of": 1}).encode()
    (tmp_path / "truth-00000001.log").write_bytes(pack(0, header))
    with pytest.raises(SchemaTooNewError):
        await opened(tmp_path)


def version_1(folder: Path) -> None:
    """Write the files of a store as version 1 had them: memories as objects, embeddings in them."""
    about = ["about", [["6f1c8a52-3c07-4c8e-9a3e-0d8a3f5a2b11", "test", DIMENSION, 7, None, 3, 2, 1]], []]
    header = json.dumps({"kind": "truth", "format": 1, "of": 1}).encode()
    first = json.dumps([about, ["memories", [old_row("a", 1), old_row("b", 2)], []]]).encode() + b"\n"
    second = json.dumps([["memories", [old_row("c", 3)], [["ada", "a"]]]]).encode() + b"\n"
    snapshot = [pack(n, part) for n, part in enumerate((header, first, b"end"))]
    (folder / "truth-00000001.snapshot").write_bytes(b"".join(snapshot))
    (folder / "truth-00000001.log").write_bytes(pack(0, header) + pack(1, second))


def old_row(name: str, version: int) -> dict[str, Any]:
    write = a_write(name)
    return {
        "id": name,
        "user_id": "ada",
        "agent_id": None,
        "run_id": None,
        "content": write.content,
        "metadata": '{"n":1}',
        "entities": "[]",
        "relationships": "[]",
        "extracted": False,
        "embedding": write.embedding.tolist(),
        "version": version,
        "digest": write.digest,
        "bucket": write.bucket,
        "write_id": str(write.write_id),
        "created_at": 1,
        "updated_at": 2,
    }


async def test_files_of_version_1(tmp_path: Path) -> None:
    """Files of an older format are read, and written anew in the newest one as soon as they are open."""
    version_1(tmp_path)
    for _ in range(2):
        store = await opened(tmp_path)
        memories = await store.walk(None, after=None, limit=9, embeddings=True)
        assert [(m.id, m.version, m.metadata) for m in memories] == [("b", 2, {"n": 1}), ("c", 3, {"n": 1})]
        assert np.array_equal(memories[1].embedding, a_write("c").embedding)
        assert (await store.info()).floor == 7
        await store.close()
    assert b'"format": 2' in newest(tmp_path, "snapshot").read_bytes()[:200]


async def test_a_graph_outlives_its_process(tmp_path: Path) -> None:
    """Opened again, by its log or its snapshot, a graph has its identity, its versions, its entities and names."""
    graph = FileGraph(tmp_path, NEVER)
    assert Capability.DURABLE in graph.capabilities
    await graph.open()
    identity = await graph.identify(truth := uuid4(), None)
    writes = [say_write("m", 5, [("Ada", "Person"), ("Bob", "Person")], [("Ada", "KNOWS", "Bob")])]
    await graph.apply([*writes, say_write("n", 4, [("ADA", "Person", {"x": [1, 2]})])], timeout=30)
    keys = [Key("u1", "m"), Key("u1", "n")]
    before = await graph.read(keys), await graph.entities("u1", after=None, limit=9)
    for persists in (False, True):
        if persists:
            await graph.persist()
        await graph.close()
        graph = FileGraph(tmp_path, NEVER)
        await graph.open()
        assert (await graph.read(keys), await graph.entities("u1", after=None, limit=9)) == before
        assert await graph.identify(truth, identity) == identity
    await graph.close()


async def test_a_damaged_graph_says_so(tmp_path: Path) -> None:
    """A graph's files are guarded as truth's are."""
    graph = FileGraph(tmp_path, NEVER)
    await graph.open()
    for version in (1, 2, 3):
        await graph.apply([say_write("m", version)], timeout=30)
    await graph.close()
    (path,) = files(tmp_path, "graph-*.log")
    flip(path, path.stat().st_size // 2)
    graph = FileGraph(tmp_path, NEVER)
    await graph.open()
    assert len(graph.notices) == 1
    await graph.close()


@pytest.mark.parametrize("policy", [FilePolicy(fsync="interval", fsync_every=0.01), FilePolicy(fsync="never")])
async def test_other_policies(tmp_path: Path, policy: FilePolicy) -> None:
    """Without a wait at each write everything is there all the same when the store is opened again."""
    store = await opened(tmp_path, policy)
    for name in "abc":
        await store.write(a_write(name), AT_ONCE)
    assert len(await store.durability()) == 1
    await store.close()
    assert await ids_in(tmp_path) == ({"a", "b", "c"}, ())


async def test_a_write_is_on_the_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acknowledged write was waited for until the disk had it, to its last byte. Guard: the log's fsync."""
    synced: list[int] = []
    fsync = os.fsync

    def sync(number: int) -> None:
        fsync(number)
        synced.append(os.fstat(number).st_size)

    store = await opened(tmp_path)
    monkeypatch.setattr(os, "fsync", sync)
    await store.write(a_write("a"), AT_ONCE)
    assert synced == [newest(tmp_path, "log").stat().st_size]
    await store.close()


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], MemoryStore]:
    """Make a store of the name given."""
    if request.param == "memory":
        return lambda _: MemoryStore()
    return lambda name: MemoryStore(FileStorage(tmp_path / name, NEVER))


async def everything(store: MemoryStore) -> tuple[Any, ...]:
    memories = await store.walk(None, after=None, limit=100, embeddings=True)
    graves = (await store.changes("ada", cursor=None, limit=100)).tombstones
    return memories, sorted(graves, key=lambda grave: grave.id)


async def test_a_snapshot_put_back(make: Callable[[str], MemoryStore]) -> None:
    """What was stored, deleted or changed since a snapshot is undone by restoring it, here and in another store."""
    store, other = make("one"), make("other")
    for one in (store, other):
        await one.open(model="test", dimension=DIMENSION)
    await store.write_many([a_write(name, metadata={"n": [1.5, None]}) for name in "abc"], AT_ONCE)
    await store.delete_many([a_delete("b")], AT_ONCE)
    image, before = await store.snapshot(), await everything(store)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    await store.write(a_write("d"), AT_ONCE)
    for one in (store, other):
        await one.restore(image)
        assert await everything(one) == before
    assert (await store.info()).floor >= gone.version
    assert (await store.write(a_write("a"), AT_ONCE)).version > gone.version
    await store.close()
    await other.close()


async def test_a_snapshot_under_a_graph(make: Callable[[str], MemoryStore]) -> None:
    """I2: a store that has a graph lists everything for it when it is restored, what is gone as tombstones too."""
    store = make("one")
    await store.open(model="test", dimension=DIMENSION)
    await store.register_graph(identity := GraphIdentity(uuid4(), "db"), former=None)
    await store.write(a_write("a"), AT_ONCE)
    image = await store.snapshot()
    late = await store.write(a_write("b"), AT_ONCE)
    await store.restore(image)
    listed = await store.pending([Key("ada", "a"), Key("ada", "b")])
    assert {entry.id for entry in listed.values()} == {"a", "b"}
    assert listed[Key("ada", "b")].version > late.version
    assert (await store.info()).graph == identity
    await store.close()


async def test_snapshots_that_cannot_be_restored(make: Callable[[str], MemoryStore]) -> None:
    """A damaged snapshot, or one of another embedding model, changes nothing."""
    store, other = make("one"), make("other")
    await store.open(model="test", dimension=DIMENSION)
    await other.open(model="another", dimension=DIMENSION)
    await store.write(a_write("a"), AT_ONCE)
    image, before = await store.snapshot(), await everything(store)
    for wrong in (b"", b"nonsense", image[:-40], image[:100] + b"x" + image[101:]):
        with pytest.raises(VectorStoreError):
            await store.restore(wrong)
    with pytest.raises(EmbeddingMismatchError):
        await store.restore(await other.snapshot())
    assert await everything(store) == before
    await store.close()
    await other.close()
