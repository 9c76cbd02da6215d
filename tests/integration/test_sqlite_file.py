"""The file: whose it is, what is made of it, what happens where it may not grow, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.errors import (
    ConfigurationError,
    PersistenceError,
    SchemaMissingError,
    SchemaTooNewError,
    VectorStoreUnavailableError,
)
from persistence.factory import Given, schema_state, upgrade_schema
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.vector.sqlite import SqliteStore, path_of
from persistence.vector.sqlite.migrate import APPLICATION
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write, settlement, vector_of

A = Key("ada", "a")


async def opened(path: Path, **options: object) -> SqliteStore:
    store = SqliteStore(path, **options)  # type: ignore[arg-type]  # options of the test's own
    await store.open(model="test", dimension=DIMENSION)
    return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await opened(tmp_path / "truth.db", readers=2, busy_timeout=0.2)
    yield store
    await store.close()


def listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def of_another(path: Path, *, mark: int, journal: str = "delete") -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(f"PRAGMA application_id = {mark}")
        connection.execute("CREATE TABLE memories (id)")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("These are notes, and not short ones.\n" * 9),
    "short text": lambda path: path.write_text("x"),
    "unmarked": lambda path: of_another(path, mark=0),
    "unmarked, in WAL": lambda path: of_another(path, mark=0, journal="wal"),
    "marked": lambda path: of_another(path, mark=252_006_674),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
async def test_a_file_that_is_not_ours(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A file that is no database, or another application's, is refused and left as it is, to the byte."""
    path = tmp_path / "theirs.db"
    make(path)
    before, names = path.read_bytes(), listing(tmp_path)
    for auto_upgrade in (True, False):
        with pytest.raises(ConfigurationError):
            await opened(path, auto_upgrade=auto_upgrade)
    with pytest.raises(ConfigurationError):
        await schema_state(Given(config=config(path)), {})
    assert (path.read_bytes(), listing(tmp_path)) == (before, names)


async def test_tables_that_are_in_the_log_alone(tmp_path: Path) -> None:
    """Another application's tables are seen under the lock where they are not yet in its file, and stay alone there."""
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as theirs:
        theirs.execute("PRAGMA journal_mode = wal")
        theirs.execute("CREATE TABLE things (id)")
        with pytest.raises(ConfigurationError):
            await opened(path)
        assert theirs.execute("SELECT name FROM sqlite_schema").fetchall() == [("things",)]


async def test_a_file_that_may_not_be_made(tmp_path: Path) -> None:
    """Without leave to make a schema nothing is made; without a folder, or as a folder, the error says so."""
    with pytest.raises(SchemaMissingError):
        await opened(tmp_path / "new.db", auto_upgrade=False)
    assert listing(tmp_path) == []
    with pytest.raises(ConfigurationError):
        await opened(tmp_path / "no" / "folder.db")
    with pytest.raises(VectorStoreUnavailableError):
        await opened(tmp_path)


async def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    """A file that a newer version has upgraded is refused."""
    path = tmp_path / "truth.db"
    await (await opened(path)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        connection.execute("INSERT INTO schema_migrations (version, name, applied_at) VALUES (99, 'later', 0)")
    for auto_upgrade in (True, False):
        with pytest.raises(SchemaTooNewError):
            await opened(path, auto_upgrade=auto_upgrade)


def config(path: Path, **settings: object) -> PersistenceConfig:
    return PersistenceConfig.model_validate({"vector_url": f"sqlite:///{path}", "embedding_dimension": 8, **settings})


async def test_schema_by_command(tmp_path: Path) -> None:
    """Status and upgrade of the schema are had without a service, and a file that they made is used as it is."""
    given = Given(config=config(tmp_path / "truth.db", auto_upgrade=False))
    assert (await schema_state(given, {})).version == 0
    upgrading = Given(config=config(tmp_path / "truth.db"))
    assert await upgrade_schema(upgrading, {}) == (0, 1)
    assert (await schema_state(given, {})).version == 1
    assert await upgrade_schema(upgrading, {}) == (1, 1)
    async with AsyncPersistenceService.connect(graph="memory://", config=given.config) as memories:
        await memories.store("Ada works at Babbage & Co.", user_id="ada")
        assert len(await memories.search("Who works where?", user_id="ada")) == 1


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///file.db", Path.cwd() / "file.db"),
        ("SQLite:///a folder/file.db", Path.cwd() / "a folder" / "file.db"),
        ("sqlite:////var/file.db", Path("/var/file.db")),
    ],
)
def test_urls(url: str, path: Path) -> None:
    """Three slashes stand before a relative path, four before an absolute one."""
    assert path_of(url) == path


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://file.db", "sqlite:///:memory:", "sqlite:///f?x=1"]
)
def test_urls_that_name_no_file(url: str) -> None:
    """A URL without a file, with a host or with options is refused."""
    with pytest.raises(ConfigurationError):
        path_of(url)


async def test_a_full_disk(store: SqliteStore) -> None:
    """Where the file may not grow a write is refused and leaves nothing; reads go on, and writes once there is room."""
    await store.write(a_write("a"), AT_ONCE)
    writer = store._sessions._writer
    assert writer is not None
    (pages,) = writer.one("PRAGMA page_count")
    writer.one(f"PRAGMA max_page_count = {pages + 2}")
    many = [a_write(f"{i}", content="x" * 5_000) for i in range(50)]
    for _ in range(2):
        with pytest.raises(VectorStoreUnavailableError) as caught:
            await store.write_many(many, AT_ONCE)
        assert "full" in caught.value.message
    assert [memory.id for memory in await store.page("ada", after=None, limit=99, where=Filter())] == ["a"]
    assert len(await store.search("ada", vector_of("q"), limit=99, where=Filter())) == 1
    assert (await store.outbox_stats()).pending == 1
    writer.one("PRAGMA max_page_count = 1000000")
    await store.write_many(many, AT_ONCE)
    assert (await store.count("ada")).value == 51


async def test_a_lock_that_another_has(store: SqliteStore, tmp_path: Path) -> None:
    """Where another connection keeps the write lock, reads go on, and a write is refused after its time."""
    await store.write(a_write("a"), AT_ONCE)
    with closing(sqlite3.connect(tmp_path / "truth.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(VectorStoreUnavailableError):
            await store.write(a_write("b"), AT_ONCE)
        assert list(await store.read([A])) == [A]
    await store.write(a_write("b"), AT_ONCE)


async def test_cancelled_while_it_waits_for_the_lock(tmp_path: Path) -> None:
    """A write that is cancelled while another process has the lock is not done, and the next one is."""
    path = tmp_path / "truth.db"
    store = await opened(path, busy_timeout=60.0)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await store.write(a_write("a"), AT_ONCE)
        assert await store.read([A]) == {}
        await store.write(a_write("b"), AT_ONCE)
    finally:
        await store.close()


async def test_cancelled_in_the_middle(store: SqliteStore) -> None:
    """Work that is cancelled between two statements is undone, though it could have gone on."""
    under_way, go_on = threading.Event(), threading.Event()

    def work(session):
        session.execute("UPDATE store_info SET floor = 7")
        under_way.set()
        go_on.wait(10)

    task = asyncio.create_task(store._sessions.write(work))
    await asyncio.to_thread(under_way.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.info()).floor == 0
    await store.write(a_write("a"), AT_ONCE)


async def test_what_a_cancelled_thread_says_is_no_complaint(store: SqliteStore) -> None:
    """The error by which a cancelled write's thread ends is taken note of: the loop does not complain of it later."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    under_way, go_on = threading.Event(), threading.Event()

    def work(session):
        under_way.set()
        go_on.wait(10)
        session.row("SELECT 1")

    task = asyncio.create_task(store._sessions.write(work))
    await asyncio.to_thread(under_way.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    assert complaints == []


async def test_cancelled_between_two_statements(store: SqliteStore) -> None:
    """Work that is cancelled while none of its statements runs does not begin the next one."""
    under_way, go_on, reached = threading.Event(), threading.Event(), []

    def work(session):
        under_way.set()
        go_on.wait(10)
        reached.append(session.row("SELECT 1"))

    task = asyncio.create_task(store._sessions.read(work))
    await asyncio.to_thread(under_way.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == []
    assert await store.read([A]) == {}


async def test_an_endless_statement_is_interrupted(store: SqliteStore) -> None:
    """A statement that runs when its call is cancelled is interrupted, reading or writing, and both still work."""
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    for call in (store._sessions.read, store._sessions.write):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await call(lambda session: session.rows(endless))
    await store.write(a_write("a"), AT_ONCE)
    assert list(await store.read([A])) == [A]


async def test_cancelled_at_any_moment(store: SqliteStore) -> None:
    """However early or late calls are cancelled, each batch is there as a whole or not at all, with its entries."""
    for number in range(40):
        batch = [a_write(f"{number:02}-{i}") for i in range(20)]
        task = asyncio.create_task(store.write_many(batch, AT_ONCE))
        done, _ = await asyncio.wait([task], timeout=number / 10_000)
        if not done:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        there = await store.read([write.key for write in batch])
        assert len(there) in {0, 20}
        assert set(await store.pending([write.key for write in batch])) == set(there)


async def test_closed_while_it_is_used(store: SqliteStore) -> None:
    """A store that is closed while calls are under way ends them one way or the other, and is open to no later one."""
    calls = [asyncio.create_task(store.write(a_write(f"{i}"), AT_ONCE)) for i in range(20)]
    calls += [asyncio.create_task(store.read([A])) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(error, VectorStoreUnavailableError) for error in failed)
    with pytest.raises(VectorStoreUnavailableError):
        await store.ping()


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
async def test_what_is_durable(tmp_path: Path, synchronous: str, level: int) -> None:
    """A write is on the disk before it is acknowledged, also after a settlement that is not; otherwise it is told."""
    store = await opened(tmp_path / "truth.db", synchronous=synchronous)
    try:
        assert len(await store.durability()) == (synchronous == "normal")
        levels = []
        for _ in range(2):
            await store.write(a_write("a"), AT_ONCE)
            levels.append(store._sessions._writer.one("PRAGMA synchronous")[0])
            await store.settle([settlement(entry) for entry in await store.claim(limit=9, lease=60)])
        assert levels == [level, level]
        assert store._sessions._writer.one("PRAGMA journal_mode") == ("wal",)
    finally:
        await store.close()


async def test_who_writes_has_the_file_alone_from_the_start(tmp_path: Path) -> None:
    """Nobody can write between what a writing transaction reads and what it writes."""
    store = await opened(tmp_path / "truth.db")
    try:
        with closing(sqlite3.connect(tmp_path / "truth.db", timeout=0)) as other:
            store._sessions._writer.write(lambda _: _refused(other), "full")
            other.execute("BEGIN IMMEDIATE")
    finally:
        await store.close()


def _refused(other: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")


async def test_a_damaged_file(tmp_path: Path) -> None:
    """A file that is damaged behind its header is refused by type, never taken for an empty one."""
    path = tmp_path / "truth.db"
    store = await opened(path)
    await store.write_many([a_write(f"{i}") for i in range(200)], AT_ONCE)
    await store.close()
    content = bytearray(path.read_bytes())
    content[4_096:] = b"\x55" * (len(content) - 4_096)
    path.write_bytes(content)
    damaged = SqliteStore(path)
    with pytest.raises(PersistenceError):
        await damaged.open(model="test", dimension=DIMENSION)
    await damaged.close()


async def test_versions_when_the_clock_goes_back(tmp_path: Path) -> None:
    """Versions grow though the clock stands still or goes back, across deletes too."""
    times = iter([10**15, *range(10**15, 0, -(10**12))])
    store = await opened(tmp_path / "truth.db", clock=lambda: next(times))
    try:
        versions = [(await store.write(a_write("a"), AT_ONCE)).version for _ in range(20)]
        assert versions == sorted(set(versions))
    finally:
        await store.close()


async def test_a_memory_removed_by_hand(tmp_path: Path) -> None:
    """Where somebody deletes the newest memory with SQL, what is written next is stored, found, and in the feed."""
    store = SqliteStore(tmp_path / "truth.db")
    await store.open(model="test", dimension=DIMENSION)
    try:
        await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
        assert len(await store.search("ada", vector_of("b"), limit=9, where=Filter())) == 2
        cursor = (await store.changes("ada", cursor=None, limit=9)).cursor
        with closing(sqlite3.connect(tmp_path / "truth.db")) as connection, connection:
            connection.execute("DELETE FROM memories WHERE id = 'b'")
        assert (await store.changes("ada", cursor=cursor, limit=9)).memories == ()
        await store.write_many([a_write("c"), a_write("b")], AT_ONCE)
        changed = await store.changes("ada", cursor=cursor, limit=9)
        assert {memory.id for memory in changed.memories} == {"b", "c"}
        ((best, score), *others) = await store.search("ada", vector_of("c"), limit=9, where=Filter())
        assert (best.id, len(others)) == ("c", 2)
        assert score == pytest.approx(1.0, abs=1e-6)
    finally:
        await store.close()
