"""A graph can do what it says it can; one that does not say so refuses, or is seen not to."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from persistence.backends import graph_backend
from persistence.errors import GraphUnavailableError, GraphWriteExpiredError
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.checking import EVERYTHING, summed
from persistence.ports.graph import GraphStore
from persistence.ports.outbox import Key
from tests.contract import second_process
from tests.contract.conftest import Place
from tests.contract.graph.conftest import say_write


async def made(place: Place) -> GraphStore:
    graph = await graph_backend(place.url).make(place.url, second_process.config(place))
    await graph.open()
    return graph


@pytest.fixture
async def here(place: Place) -> AsyncIterator[GraphStore]:
    """Return the graph as a process has it that names it by its URL."""
    graph = await made(place)
    yield graph
    await graph.close()


async def test_only_what_can_be_said_of_a_graph(graph: GraphStore) -> None:
    """A graph claims nothing that is truth's alone."""
    assert graph.capabilities <= OF_GRAPHS


async def test_durable(place: Place) -> None:
    """What a process was acknowledged before it was killed is there afterwards, if and only if that is claimed."""
    assert await second_process.run("graph", place) == {"seen": False}
    graph = await made(place)
    try:
        found = await graph.read([Key("ada", second_process.SECOND)])
        assert bool(found) == (Capability.DURABLE in graph.capabilities)
    finally:
        await graph.close()


async def test_shared(place: Place, here: GraphStore) -> None:
    """Two processes see each other's writes, where that is claimed; else the second is refused, or has its own."""
    await here.apply([say_write(second_process.FIRST, 1, user="ada")], timeout=30)
    said = await second_process.run("graph", place)
    second = bool(await here.read([Key("ada", second_process.SECOND)]))
    if Capability.SHARED in here.capabilities:
        assert (said, second) == ({"seen": True}, True)
    else:
        assert said.get("refused") == "GraphUnavailableError" or said == {"seen": False}
        assert not second


async def test_a_batch_that_is_cut_off(graph: GraphStore) -> None:
    """Of batches that run out of time at random (seed 2), each is there whole or not at all, where that is claimed."""
    if Capability.ATOMIC_BATCH not in graph.capabilities:
        pytest.skip(f"{graph.kind} does not claim it: {Capability.ATOMIC_BATCH.without}")
    rng = random.Random(2)
    for number in range(15):
        writes = [say_write(f"{number}-{n}", 1, [(f"e{n % 7}", "T")]) for n in range(60)]
        with contextlib.suppress(GraphWriteExpiredError, GraphUnavailableError):
            await graph.apply(writes, timeout=rng.uniform(0.001, 0.08))
        found = await graph.read([Key("u1", write.id) for write in writes], locked=True)
        assert len(found) in {0, 60}


async def test_sums(graph: GraphStore) -> None:
    """A graph that claims to sum answers what its rows add up to."""
    if Capability.AGGREGATES not in graph.capabilities:
        pytest.skip(f"{graph.kind} does not claim it: {Capability.AGGREGATES.without}")
    await graph.apply([say_write(f"{n}", n + 1) for n in range(50)], timeout=30)
    rows = await graph.bucket_rows("u1", [EVERYTHING])
    assert await graph.bucket_sums("u1", EVERYTHING, bits=0) == {0: summed(rows)}
