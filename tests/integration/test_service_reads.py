"""Reads: pages, search, filters, the graph's share in them, and what must never show."""

from __future__ import annotations

import pytest

from persistence import (
    GraphStoreError,
    GraphUnavailableError,
    HealthStatus,
    Key,
    MemoryNotFoundError,
    ServiceClosedError,
)
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, BOB, Stores, draft, vector


async def test_get_all_pages(stores: Stores) -> None:
    """Pages follow each other in the order of ids, without gap or repetition, filters included."""
    async with stores.service() as memories:
        await memories.store_many([draft(n, metadata={"even": n % 2 == 0}, agent_id=f"a{n % 3}") for n in range(25)])
        seen, after = [], None
        while True:
            page = await memories.get_all(user_id=ALICE, after=after, limit=10)
            seen += [memory.id for memory in page.memories]
            after = page.next
            if after is None:
                break
        assert seen == [f"m{number:04}" for number in range(25)]
        even = await memories.get_all(user_id=ALICE, filters={"even": True}, agent_id="a0")
        assert [memory.id for memory in even.memories] == ["m0000", "m0006", "m0012", "m0018", "m0024"]
        assert (await memories.get_all(user_id="nobody")).memories == ()


async def test_search(stores: Stores) -> None:
    """Search returns the nearest first, with entities and score, by text or vector, and only what passes the filter."""
    async with stores.service() as memories:
        await memories.store_many([draft(n, metadata={"n": n}, run_id=f"r{n % 2}") for n in range(16)])
        found = await memories.search(vector(5), user_id=ALICE, limit=3)
        assert found[0].memory.id == "m0005"
        assert found[0].score == pytest.approx(1.0)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        assert {entity.name for entity in found[0].memory.entities} == {"Person 5", "Place 2"}
        late = await memories.search(vector(5), user_id=ALICE, limit=50, filters={"n": {"gte": 10}}, run_id="r1")
        assert {hit.memory.id for hit in late} == {"m0011", "m0013", "m0015"}
        assert len(await memories.search("who lives where?", user_id=ALICE, limit=4)) == 4


async def test_expand_reaches_further(stores: Stores) -> None:
    """With expand, memories that share entities with the hits follow them, filtered as they are, each once."""
    async with stores.service() as memories:
        await memories.store_many([draft(number, metadata={"n": number}) for number in range(9)])
        plain = await memories.search(vector(0), user_id=ALICE, limit=1)
        wide = await memories.search(vector(0), user_id=ALICE, limit=1 + 5, expand=1, filters={"n": {"in": [0, 3, 6]}})
        narrow = await memories.search(vector(0), user_id=ALICE, limit=1, expand=1)
        assert [hit.memory.id for hit in plain] == ["m0000"]
        assert {hit.memory.id for hit in wide} == {"m0000", "m0003", "m0006"}
        start, reached = narrow
        assert start.memory.id == "m0000"
        assert (reached.score, reached.distance) == (None, 1)
        assert reached.memory.id in {"m0003", "m0006"}
        assert [(link.entity, link.type) for link in reached.via] == [("Place 0", "Place")]


async def test_search_is_degraded_while_the_graph_is_away(stores: Stores) -> None:
    """While the graph is down the vector's hits still come, and say why they come alone."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph) as memories:
        await memories.store_many([draft(number) for number in range(6)])
        graph.before["related"] = failing(GraphUnavailableError("The graph is away."))
        found = await memories.search(vector(0), user_id=ALICE, limit=1, expand=1)
        assert [hit.memory.id for hit in found] == ["m0000"]
        assert found.degraded == "The graph is away."
        assert (await memories.search(vector(0), user_id=ALICE, limit=1)).degraded is None
        with pytest.raises(GraphStoreError):
            await memories.related("m0000", user_id=ALICE)


async def test_what_the_graph_made_up_never_shows(stores: Stores) -> None:
    """Nodes planted in the graph, deleted or of another tenant, are looked up in truth, and so never shown."""
    async with stores.service() as memories:
        await memories.store_many([draft(0), draft(3), draft(6)])
        await memories.store(**draft(0, user_id=BOB, prefix="b"))
        await memories.drain()
        await stores.cypher("""
            MATCH (e:DiptychEntity {user_id: 'alice', type: 'Place'})
            UNWIND ['ghost', 'b0000', 'm0003'] AS id
            MERGE (m:DiptychMemory {user_id: 'alice', id: id})
            SET m:Memory, m.version = coalesce(m.version, 1)
            MERGE (m)-[:MENTIONS]->(e)
        """)
        await stores.rows("DELETE FROM memories WHERE id = 'm0003'")
        for depth in (1, 2, 5):
            found = await memories.related("m0000", user_id=ALICE, depth=depth, limit=50)
            assert [hit.memory.id for hit in found] == ["m0006"]
        expanded = await memories.search(vector(0), user_id=ALICE, limit=10, expand=2)
        assert {hit.memory.id for hit in expanded} == {"m0000", "m0006"}
        assert await memories.neighbourhood("ghost", user_id=ALICE) is None


async def test_related_and_neighbourhood(stores: Stores) -> None:
    """`related` names the shared entities and the distance, `neighbourhood` what the graph holds of one memory."""
    async with stores.service() as memories:
        chain = [
            {"name": "A", "type": "T"},
            {"name": "B", "type": "T"},
            {"name": "C", "type": "T"},
        ]
        a_b = draft(1, entities=chain[:2], relationships=[{"source": "A", "type": "TO", "target": "B"}])
        await memories.store_many([a_b, *(draft(n, entities=[e], relationships=[]) for n, e in enumerate(chain, 2))])
        found = await memories.related("m0002", user_id=ALICE, depth=2)
        assert [(hit.memory.id, hit.distance) for hit in found] == [("m0001", 1), ("m0003", 2)]
        with pytest.raises(MemoryNotFoundError):
            await memories.related("m0009", user_id=ALICE)
        around = await memories.neighbourhood("m0001", user_id=ALICE)
        assert around is not None
        assert [entity.name for entity in around.entities] == ["A", "B"]
        assert [(edge.source, edge.type, edge.target) for edge in around.edges] == [(("T", "a"), "TO", ("T", "b"))]


async def test_health_and_stats(stores: Stores) -> None:
    """Health probes both stores and the outbox; stats count both sides."""
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph) as memories:
        await memories.store_many([draft(number) for number in range(4)])
        await memories.drain()
        health, stats = await memories.get_health(), await memories.get_stats()
        assert (health.status, health.vector.kind, health.graph.kind) == (HealthStatus.HEALTHY, "pgvector", "neo4j")
        assert (stats.vector.value, stats.graph.value) == (4, 4)
        assert stats.outbox is not None
        assert (stats.outbox.pending, stats.outbox.dead) == (0, 0)
        graph.before["apply"] = graph.before["ping"] = failing(GraphUnavailableError("Away."))
        await memories.store(**draft(5))
        health = await memories.get_health()
        assert (health.status, health.graph.error, health.breaker) == (HealthStatus.DEGRADED, "Away.", "open")
        assert health.outbox is not None
        assert health.outbox.pending == 1
        assert (await memories.get_stats()).graph.value is None
    with pytest.raises(ServiceClosedError):
        await memories.get("m0001", user_id=ALICE)
    assert Key(ALICE, "m0005") in await stores.truth()
