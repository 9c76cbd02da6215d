"""A disk that is full: under PostgreSQL, under SQLite, under the file store; and room again."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, PersistenceConfig, PersistenceError, VectorStoreUnavailableError
from persistence.local import PostgresServer
from sync import AsyncSyncService, Depth
from tests.conftest import POSTGRES_OPTIONS, ServerUnderTest, missing, run_now
from tests.faults.resources.rooms import Room
from tests.faults.stores import ALICE, DIMENSION, draft

#: Settings of a service whose disk becomes full; retries would only take time.
SETTINGS: dict[str, Any] = {
    "embedding_dimension": DIMENSION,
    "retry_attempts": 2,
    "retry_delay": 0.01,
    "relay_interval": 0.05,
    "breaker_probe": 0.1,
    "write_timeout": 5.0,
}
LARGE = 20_000
#: What stands before the absolute path in the URL of a truth in files.
SCHEMES = {"sqlite": "sqlite:///", "file": "file://"}


def large(number: int) -> dict[str, Any]:
    """Return a memory that takes room, and cannot be compressed."""
    return draft(number, content=f"{number} {random.Random(number).randbytes(LARGE // 2).hex()}")


async def write_until_full(memories: AsyncPersistenceService, promised: dict[str, int]) -> PersistenceError:
    """Write until a write is refused; return the refusal."""
    for number in range(len(promised), len(promised) + 5_000):
        memory = large(number)
        try:
            result = await memories.store(**memory)
        except PersistenceError as error:
            return error
        promised[result.id] = result.version or 0
    raise AssertionError("the disk was never full")


async def refused_again(memories: AsyncPersistenceService, promised: dict[str, int]) -> dict[str, PersistenceError]:
    """Try other writes on the full disk; return how they were refused. A last bit of room may still be found."""
    errors = {}
    for memory in map(large, range(9_000, 9_004)):
        try:
            result = await memories.store(**memory)
        except PersistenceError as error:
            errors[memory["id"]] = error
        else:
            promised[result.id] = result.version or 0
    return errors


def assert_says_what_to_do(error: PersistenceError) -> None:
    """Fail where an error is no sentence with what to do about it, or says that repeating it is in vain."""
    assert isinstance(error, VectorStoreUnavailableError), repr(error)
    assert error.retryable
    assert error.message.endswith(".")
    assert "disk" in (error.hint or "")


async def assert_whole(memories: AsyncPersistenceService, promised: dict[str, int]) -> None:
    """Fail where something acknowledged is lost, or a full check finds anything once it is calm."""
    await memories.drain()
    for name, version in promised.items():
        memory = await memories.get(name, user_id=ALICE)
        assert memory is not None, name
        assert memory.version == version
    report = await AsyncSyncService(memories).check_consistency(Depth.FULL)
    assert (report.complete, report.found, report.in_step) == (True, 0, True)


async def fill_and_recover(memories: AsyncPersistenceService, disk: Room, leave: int) -> None:
    """Let the disk be full under a service, then not any more; the service is the same all the time."""
    promised: dict[str, int] = {}
    for number in range(5):
        result = await memories.store(**large(number))
        promised[result.id] = result.version or 0
    disk.fill(leave=leave)
    assert_says_what_to_do(await write_until_full(memories, promised))
    refused = await refused_again(memories, promised)
    for error in refused.values():
        assert_says_what_to_do(error)
    assert (await memories.get("m0001", user_id=ALICE)) is not None, "reading needs no room"
    disk.clear()
    after = await memories.store(**large(8_000))
    promised[after.id] = after.version or 0
    await assert_whole(memories, promised)
    for name in refused:
        assert await memories.get(name, user_id=ALICE) is None, "what was refused is nowhere"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_full_disk_under_a_store_of_files(small_disk: Room | None, scheme: str, tmp_path: Path) -> None:
    """A write without room says so, and to make room; reads go on; with room the same service goes on, all is there."""
    if small_disk is None:
        pytest.skip("No file system may be mounted here; the next test does the same with a limit.")
    urls = {"vector": f"{SCHEMES[scheme]}{small_disk.path / 'truth'}", "graph": f"file://{small_disk.path / 'graph'}"}
    async with AsyncPersistenceService.connect(**urls, config=_config()) as memories:
        await fill_and_recover(memories, small_disk, leave=200_000)
    async with AsyncPersistenceService.connect(**urls, config=_config()) as memories:
        assert (await memories.count(user_id=ALICE)).value >= 6


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_full_disk_by_a_limit(scheme: str, tmp_path: Path) -> None:
    """The same with a limit on the size of files, which any user may set."""
    urls = {"vector": f"{SCHEMES[scheme]}{tmp_path / 'truth'}", "graph": f"file://{tmp_path / 'graph'}"}
    promised: dict[str, int] = {}
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with AsyncPersistenceService.connect(**urls, config=_config()) as memories:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, former[1]))
            assert_says_what_to_do(await write_until_full(memories, promised))
            refused = await refused_again(memories, promised)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
        for error in refused.values():
            assert_says_what_to_do(error)
        after = await memories.store(**large(8_000))
        promised[after.id] = after.version or 0
        await assert_whole(memories, promised)


def _config() -> PersistenceConfig:
    return PersistenceConfig(**SETTINGS)


@pytest.fixture
def postgres_on_small_disk(small_disk: Room | None) -> Iterator[ServerUnderTest]:
    """Start a Postgres whose cluster, log of changes included, is on the small disk."""
    if small_disk is None:
        missing("A PostgreSQL on a full disk needs a file system of its own: let root mount a tmpfs.")
    folder = small_disk.path / "cluster"
    folder.mkdir(mode=0o711)
    server = ServerUnderTest(PostgresServer(folder, options=POSTGRES_OPTIONS | {"max_wal_size": "48MB"}))
    run_now(server.start)
    try:
        yield server
    finally:
        small_disk.clear()
        run_now(server.stop)


@pytest.mark.parametrize("small_disk", [160], indirect=True)
async def test_a_full_disk_under_postgres(small_disk: Room, postgres_on_small_disk: ServerUnderTest) -> None:
    """Writes say that the disk has no room while PostgreSQL is up; with room again the same service goes on."""
    urls = {"vector": postgres_on_small_disk.url, "graph": postgres_on_small_disk.url}
    async with AsyncPersistenceService.connect(**urls, config=_config()) as memories:
        await fill_and_recover(memories, small_disk, leave=1_000_000)
