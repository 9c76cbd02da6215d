"""Clocks that are wrong: one that jumps back an hour, and machines that are five minutes apart."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.graph.memory import MemoryGraph
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.vector.memory import MemoryStore, Storage
from persistence.vector.qdrant import QdrantStore, layout
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.sqlite import SqliteStore
from sync import AsyncSyncService, Depth
from tests.conftest import NEO4J_JVM, POSTGRES_OPTIONS, ServerUnderTest, cache_folder, started
from tests.contract.vector.making import AT_ONCE, a_write
from tests.contract.vector.making import DIMENSION as AN_EMBEDDING
from tests.faults.resources.clocks import Clock, Neo4jByClock, PostgresByClock
from tests.faults.stores import ALICE, DIMENSION, Stores, StoresOnPostgres, draft, until

HOUR, FIVE_MINUTES = 3_600, 300
WRITES = 60
SETTINGS = {"embedding_dimension": DIMENSION, "tombstone_age": 60.0, "settle_delay": 0.005, "relay_interval": 0.05}


class Wall:
    """A clock in this process, set by hand: microseconds since 1970 for truth, seconds for the graph."""

    def __init__(self) -> None:
        self.micros = 1_800_000_000_000_000

    def now(self) -> int:
        self.micros += 1
        return self.micros

    def seconds(self) -> float:
        return self.micros / 1e6

    def go(self, seconds: float) -> None:
        self.micros += round(seconds * 1e6)


def _truth(kind: str, wall: Wall, folder: Path) -> VectorStore:
    if kind == "sqlite":
        return SqliteStore(folder / "truth.db", clock=wall.now)
    return MemoryStore(Storage(clock=wall.now))


async def versions(memories: AsyncPersistenceService, number: int) -> list[int]:
    """Write one memory, change it, delete it, store it anew; return the versions in that order."""
    first = await memories.store(**draft(number))
    second = await memories.update(first.id, user_id=ALICE, content="changed")
    third = await memories.delete(first.id, user_id=ALICE)
    fourth = await memories.store(**draft(number))
    return [result.version or 0 for result in (first, second, third, fourth)]


async def assert_in_step(memories: AsyncPersistenceService) -> None:
    """Fail where a full check finds anything, or anything is pending."""
    await memories.drain()
    report = await AsyncSyncService(memories).check_consistency(Depth.FULL)
    assert (report.complete, report.found, report.in_step) == (True, 0, True)


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_a_clock_that_jumps_back_an_hour(kind: str, tmp_path: Path) -> None:
    """Versions grow all the same, also across deletes whose tombstones were collected; no lease waits for the clock."""
    wall = Wall()
    graph: GraphStore = MemoryGraph(clock=wall.seconds)
    given = AsyncPersistenceService.connect(
        vector=_truth(kind, wall, tmp_path), graph=graph, config=PersistenceConfig(**SETTINGS)
    )
    async with given as memories:
        before = await versions(memories, 1)
        gone = [await memories.store(**draft(2)), await memories.delete(draft(2)["id"], user_id=ALICE)]
        wall.go(HOUR)  # the tombstone is old enough
        await memories.parts.relay.collect()
        wall.go(-2 * HOUR)
        after = await versions(memories, 1)
        assert (both := before + after) == sorted(set(both))
        anew = await memories.store(**draft(2))
        assert (anew.version or 0) > (gone[1].version or 0) > (gone[0].version or 0)
        await assert_in_step(memories)


async def test_what_a_machine_behind_wrote_in_qdrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed of changes shows what a machine five minutes behind writes after what one ahead has written; once."""
    engine = EmbeddedEngine(tmp_path / "qdrant")
    await engine.open()
    store = QdrantStore(engine)
    await store.open(model="test", dimension=AN_EMBEDDING)
    seen, cursor = [], None
    for name, apart in (("ahead", FIVE_MINUTES / 2), ("behind", -FIVE_MINUTES / 2)):
        monkeypatch.setattr(layout, "now", lambda apart=apart: round((time.time() + apart) * 1_000_000))
        await store.write(a_write(name), AT_ONCE)
        monkeypatch.setattr(layout, "now", lambda: round((time.time() + FIVE_MINUTES / 2) * 1_000_000))
        for _ in range(2):
            changes = await store.changes("ada", cursor=cursor, limit=100)
            seen += [memory.id for memory in changes.memories]
            cursor = changes.cursor
    await store.close()
    await engine.close()
    assert seen == ["ahead", "behind"]


# --- real servers, each by a clock of its own -------------------------------------------------------------------------


@dataclass(frozen=True)
class Machines:
    """Two servers and their clocks."""

    postgres: ServerUnderTest
    truth_clock: Clock
    graph_clock: Clock
    stores: Stores


def _clock(folder: Path, library: Path) -> Clock:
    folder.mkdir()
    folder.chmod(0o755)
    return Clock(folder, library)


@pytest.fixture(scope="module")
def truth_machine(
    clock_library: Path,
) -> Iterator[tuple[ServerUnderTest, Clock]]:
    """Start a Postgres that goes by a clock of its own."""
    clock = _clock(clock_library.parent / "truth", clock_library)

    def make(folder: Path) -> PostgresByClock:
        server = PostgresByClock(folder, options=POSTGRES_OPTIONS)
        server.clock = clock
        return server

    with started(make) as server:
        yield server, clock


@pytest.fixture(scope="module")
def graph_machine(clock_library: Path) -> Iterator[tuple[ServerUnderTest, Clock]]:
    """Start a Neo4j that goes by a clock of its own."""
    clock = _clock(clock_library.parent / "graph", clock_library)
    program = cache_folder() / "neo4j"

    def make(folder: Path) -> Neo4jByClock:
        server = Neo4jByClock(folder, port=0, program=program, jvm=NEO4J_JVM)
        server.clock = clock
        return server

    with started(make) as server:
        yield server, clock


async def test_the_clock_of_postgres_jumps_back_an_hour(truth_machine: tuple[ServerUnderTest, Clock]) -> None:
    """The same on a real server whose clock is set back under a service that is at work."""
    server, clock = truth_machine
    stores = StoresOnPostgres(server.url, f"test_{uuid.uuid4().hex[:12]}", server.url)
    clock.set(0)
    async with stores.service(enable_relay=True, tombstone_age=60.0) as memories:
        before = await versions(memories, 1)
        gone = [await memories.store(**draft(2)), await memories.delete(draft(2)["id"], user_id=ALICE)]
        await memories.drain()
        clock.set(HOUR)
        (row,) = await stores.rows("SELECT clock_timestamp() - now_then AS passed FROM (SELECT max(deleted_at) AS "
                                   "now_then FROM tombstones) AS t")  # fmt: skip
        assert row["passed"].total_seconds() > HOUR - 60, "the wrong clock is at work"
        await memories.parts.relay.collect()
        assert await stores.rows("SELECT FROM tombstones") == []
        clock.set(-HOUR)
        after = await versions(memories, 1)
        assert (both := before + after) == sorted(set(both))
        anew = await memories.store(**draft(2))
        assert (anew.version or 0) > (gone[1].version or 0) > (gone[0].version or 0)
        await until(lambda: _settled(stores), what="the outbox is empty")
        await assert_in_step(memories)


async def _settled(stores: Stores) -> bool:
    return not await stores.outbox()


async def _writer(stores: Stores, clock: Clock, name: str) -> dict[str, Any]:
    """Let a service on a machine of its own write; return what it says was acknowledged."""
    task = json.dumps({"stores": asdict(stores), "kind": type(stores).__name__, "name": name, "writes": WRITES})
    command = [sys.executable, "-m", "tests.faults.resources.writer", task]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=Path(__file__).parents[3], env=clock.environment, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2_000:]
    return json.loads(out.splitlines()[-1])


async def five_minutes_apart(stores: Stores, early: Clock, late: Clock) -> None:
    """Two services, one five minutes behind the other, write the same and their own memories; nothing goes astray."""
    early.set(-FIVE_MINUTES / 2)
    late.set(FIVE_MINUTES / 2)
    async with stores.service() as memories:
        await memories.store(**draft(9_999))
    said = await asyncio.gather(_writer(stores, early, "early"), _writer(stores, late, "late"))
    assert said[1]["wall"] - said[0]["wall"] > FIVE_MINUTES - 60, "the wrong clocks are at work"
    async with stores.service(enable_relay=True) as memories:
        await until(lambda: _settled(stores), what="the outbox is empty, within the lease of a call", seconds=60)
        for one in said:
            for name, content in one["own"].items():
                memory = await memories.get(name, user_id=ALICE)
                assert (memory.content if memory else None) == content, name
        for name in said[0]["shared"]:
            version, content = max((one["shared"][name] for one in said), key=lambda written: written[0])
            memory = await memories.get(name, user_id=ALICE)
            assert (memory.content if memory else None) == content, "the highest version is what is there"
            assert memory is None or memory.version == version
        await assert_in_step(memories)
    await stores.assert_in_step()


@pytest.mark.faults
async def test_services_five_minutes_apart(
    truth_machine: tuple[ServerUnderTest, Clock], clock_library: Path, tmp_path: Path
) -> None:
    """Leases, deadlines and the relay go by the servers' clocks: nothing is lost, nothing is there twice."""
    server, clock = truth_machine
    clock.set(0)
    stores = StoresOnPostgres(server.url, f"test_{uuid.uuid4().hex[:12]}", server.url)
    early, late = (_clock(tmp_path / name, clock_library) for name in ("early", "late"))
    await five_minutes_apart(stores, early, late)


@pytest.mark.faults
async def test_every_machine_by_a_clock_of_its_own(
    truth_machine: tuple[ServerUnderTest, Clock],
    graph_machine: tuple[ServerUnderTest, Clock],
    clock_library: Path,
    tmp_path: Path,
) -> None:
    """Truth, graph and both services, all minutes apart; then the graph's clock jumps back and forth under one."""
    truth_machine[1].set(-FIVE_MINUTES)
    graph_machine[1].set(FIVE_MINUTES)
    stores = Stores(truth_machine[0].url, f"test_{uuid.uuid4().hex[:12]}", graph_machine[0].url)
    early, late = (_clock(tmp_path / name, clock_library) for name in ("early", "late"))
    await five_minutes_apart(stores, early, late)
    async with stores.service(enable_relay=True) as memories:
        await memories.store(**draft(1))
        for shift in (-HOUR, HOUR, 0):
            graph_machine[1].set(shift)
            for number in range(5):
                await memories.store(**draft(number))
        await until(stores.in_step, what="all is in step by whatever clock")
        await assert_in_step(memories)
