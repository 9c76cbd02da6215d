"""The graph in memory under concurrent tasks and threads, and by a clock of the test's own."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from persistence.errors import GraphWriteExpiredError
from persistence.graph.memory import MemoryGraph
from persistence.graph.memory.store import INLINE
from persistence.ports.graph import GraphCounts
from persistence.ports.outbox import Key

SEED = 7


async def test_threads_and_tasks_lose_nothing(say, forget):
    """Eight threads with an event loop each, eight tasks in each: the newest version of every memory stays."""
    graph, ids = MemoryGraph(), [f"m{n}" for n in range(20)]

    async def task(seed: int) -> None:
        rng = random.Random(seed)
        for version in rng.sample(range(1, 10_000), 30):
            memory_id, names = rng.choice(ids), rng.sample("abcdef", 2)
            gone = version % 4 == 0
            one = forget(memory_id, version) if gone else say(memory_id, version, [(name, "T") for name in names])
            (ack,) = await graph.apply([one], timeout=30)
            assert ack.version >= version

    async def tasks(seed: int) -> None:
        await asyncio.gather(*[task(SEED + 8 * seed + n) for n in range(8)])

    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*[loop.run_in_executor(pool, asyncio.run, tasks(n)) for n in range(8)])
    read = await graph.read([Key("u1", memory_id) for memory_id in ids])
    mentioned = {(e.type, e.key) for memory in read.values() for e in memory.entities}
    listed = await graph.entities("u1", after=None, limit=100)
    assert {(e.type, e.key) for e in listed} == mentioned


async def test_large_work_leaves_the_event_loop(say):
    """A large batch is applied in a thread, so that the event loop goes on."""
    graph = MemoryGraph()
    writes = [say(f"m{n}", 1, [("Ada", "T")]) for n in range(INLINE * 20)]
    applying = asyncio.create_task(graph.apply(writes, timeout=30))
    await asyncio.sleep(0)
    assert not applying.done()
    await applying
    assert await graph.counts("u1") == GraphCounts(INLINE * 20, 0, 1)


async def test_its_clock_refuses_late_writes(say):
    """A batch whose turn comes after its time is refused by the graph's clock. Guard: the comparison with not_after."""
    times = iter([100.0, 105.1])
    graph = MemoryGraph(clock=lambda: next(times))
    with pytest.raises(GraphWriteExpiredError):
        await graph.apply([say("m", 1)], timeout=5)
    assert await graph.read([Key("u1", "m")]) == {}


async def test_reading_makes_no_tenants(say, forget):
    """Asking for tenants that are not there leaves nothing behind, and a tenant goes with its last tombstone."""
    graph = MemoryGraph()
    await graph.read([Key("nobody", "m")])
    await graph.related("nobody", ["m"], depth=2, limit=3)
    await graph.entities("nobody", after=None, limit=3)
    await graph.counts("nobody")
    assert graph._tenants == {}
