"""Whose graph this is."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from persistence.errors import GraphIdentityError
from persistence.graph.identity import Stamp
from persistence.graph.memory import MemoryGraph
from persistence.graph.neo4j import Neo4jGraph
from persistence.ports.vector import GraphIdentity


async def test_a_blank_graph_is_stamped_once(graph):
    """The first use stamps the graph; later ones read the stamp."""
    truth = uuid4()
    first = await graph.identify(truth, None)
    assert await graph.identify(truth, None) == first
    assert await graph.identify(truth, first) == first


async def test_the_graph_of_another_truth_is_refused(graph):
    """A graph stamped by one truth is refused to another, ``adopt`` or not."""
    await graph.identify(uuid4(), None)
    for adopt in (False, True):
        with pytest.raises(GraphIdentityError):
            await graph.identify(uuid4(), None, adopt=adopt)


async def test_a_graph_that_is_released_is_blank(graph):
    """A graph released by the truth it belongs to becomes another one's; any other release changes nothing."""
    lost, truth = uuid4(), uuid4()
    await graph.identify(lost, None)
    await graph.release(truth)
    with pytest.raises(GraphIdentityError, match=str(lost)):
        await graph.identify(truth, None)
    await graph.release(lost)
    mine = await graph.identify(truth, None)
    assert await graph.identify(truth, mine) == mine
    with pytest.raises(GraphIdentityError):
        await graph.identify(lost, None)


async def test_a_second_graph_of_one_truth_is_refused(graph):
    """A truth that has a graph is refused another one, stamped or blank, unless it is adopted."""
    truth, other = uuid4(), GraphIdentity(uuid4(), "another database")
    with pytest.raises(GraphIdentityError):
        await graph.identify(truth, other)
    mine = await graph.identify(truth, other, adopt=True)
    assert mine.graph_id != other.graph_id
    with pytest.raises(GraphIdentityError):
        await graph.identify(truth, other)
    assert await graph.identify(truth, other, adopt=True) == mine


async def test_an_emptied_graph_is_known_again(graph):
    """A graph whose nodes were wiped is stamped with what is known, because the database is the same."""
    database_id = (await graph.identify(truth := uuid4(), None)).database_id
    if isinstance(graph, MemoryGraph):
        graph._stamp = Stamp(database_id)
    elif isinstance(graph, Neo4jGraph):
        await graph._connection.run("MATCH (s:DiptychStore) DELETE s")
    else:
        async with graph._sessions.use() as connection:
            await connection.execute("DELETE FROM store_info")
    known = GraphIdentity(uuid4(), database_id)
    assert await graph.identify(truth, known) == known
    assert await graph.identify(truth, None) == known


async def test_many_at_once_read_one_stamp(graph):
    """Of processes that stamp a graph at once, one wins, and all of them read who."""
    truth = uuid4()
    found = await asyncio.gather(*[graph.identify(truth, None) for _ in range(8)])
    assert len(set(found)) == 1


async def test_ping_and_closing(graph):
    """A graph says its version; closing it twice is fine."""
    assert await graph.ping()
    await graph.close()
    await graph.close()
