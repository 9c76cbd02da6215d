"""What only a real Neo4j shows: other people's data, what was done behind our back, its clock, its plans."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from persistence.errors import GraphConflictError, GraphUnavailableError, GraphWriteExpiredError
from persistence.graph.neo4j import Neo4jGraph, statements
from persistence.ports.graph import GraphCounts, GraphWrite
from persistence.ports.outbox import Key
from persistence.projection import bucket, project
from persistence.records import Memory

NOW = datetime(2024, 1, 1, tzinfo=UTC)
M = Key("u", "m")


@pytest.fixture
async def graph(clean_neo4j: str) -> AsyncIterator[Neo4jGraph]:
    graph = Neo4jGraph(clean_neo4j)
    await graph.open()
    yield graph
    await graph._connection.run("MATCH (x:Stranger) DETACH DELETE x")
    await graph.close()


def write(memory_id: str, version: int, names: str = "", *relations: tuple[str, str, str]) -> GraphWrite:
    memory = Memory(
        id=memory_id,
        user_id="u",
        content="text",
        entities=[{"name": name, "type": "Person"} for name in names],
        relationships=[{"source": a, "type": kind, "target": b} for a, kind, b in relations],
        version=version,
        digest=0,
        created_at=NOW,
        updated_at=NOW,
    )
    return GraphWrite("u", memory_id, version, bucket("u", memory_id), NOW, project(memory))


def delete(memory_id: str, version: int) -> GraphWrite:
    return GraphWrite("u", memory_id, version, bucket("u", memory_id), None, None)


async def cypher(graph: Neo4jGraph, text: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(record) for record in await graph._connection.run(text, parameters)]


async def test_an_entity_with_an_edge_that_is_not_ours_stays(graph):
    """I8: an entity that someone else has tied something to is not removed, and neither is their edge."""
    await graph.apply([write("m", 1, "ab")], timeout=30)
    await cypher(graph, "MATCH (e:DiptychEntity {key: 'a'}) CREATE (:Stranger)-[:LIKES {memory_id: 'm'}]->(e)")
    await graph.apply([delete("m", 2)], timeout=30)
    assert [e.key for e in await graph.entities("u", after=None, limit=9)] == ["a"]
    assert await cypher(graph, "MATCH (:Stranger)-[r:LIKES]->(:DiptychEntity) RETURN count(r) AS n") == [{"n": 1}]


async def test_people_with_the_same_labels_are_left_alone(graph):
    """Nodes of others called Memory, Entity or Person, and their edges, are neither read, counted nor touched."""
    await cypher(
        graph,
        "CREATE (m:Stranger:Memory {user_id: 'u', id: 'm', version: 99})-[:MENTIONS]->"
        "(:Stranger:Entity:Person {user_id: 'u', type: 'Person', key: 'a'})",
    )
    await graph.apply([write("m", 1, "a"), write("n", 1, "a")], timeout=30)
    assert await graph.counts("u") == GraphCounts(2, 0, 1)
    assert await graph.counts(None) == GraphCounts(2, 0, 1)
    await graph.apply([delete("m", 2), delete("n", 2)], timeout=30)
    assert await cypher(graph, "MATCH (:Stranger)-[r]->(:Stranger) RETURN count(r) AS n") == [{"n": 1}]


async def test_relationships_of_others_are_no_way(graph):
    """A walk steps over relationships that memories state, not over those that others drew between our entities."""
    await graph.apply([write("m", 1, "a"), write("n", 1, "b")], timeout=30)
    await cypher(graph, "MATCH (a:DiptychEntity {key: 'a'}), (b:DiptychEntity {key: 'b'}) CREATE (a)-[:KNOWS]->(b)")
    assert await graph.related("u", ["m"], depth=3, limit=9) == []


async def test_a_mention_from_another_tenant_is_no_way(graph):
    """I9: a mention that crosses tenants behind our back shows nobody anything. Guard: the tenant of a hit."""
    await graph.apply([write("m", 1, "a"), replace(write("n", 1), user_id="other")], timeout=30)
    await cypher(
        graph,
        "MATCH (n:DiptychMemory {id: 'n'}), (e:DiptychEntity) SET n:Memory CREATE (n)-[:MENTIONS]->(e)",
    )
    assert await graph.related("u", ["m"], depth=2, limit=9) == []
    assert await graph.related("other", ["n"], depth=2, limit=9) == []


async def test_people_see_native_labels_and_types(graph):
    """Neo4j Browser shows what people expect: the labels Memory, Entity and the type, native relationships, a date."""
    await graph.apply([write("m", 1, "ab", ("a", "KNOWS", "b"))], timeout=30)
    (found,) = await cypher(
        graph,
        "MATCH (m:Memory)-[:MENTIONS]->(a:Entity:Person)-[r:KNOWS]->(:Entity) "
        "RETURN labels(m) AS memory, labels(a) AS entity, m.caption AS caption, toString(m.created_at) AS created",
    )
    assert found == {
        "memory": ["DiptychMemory", "Memory"],
        "entity": ["DiptychEntity", "Entity", "Person"],
        "caption": "text",
        "created": "2024-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    "harm",
    [
        "MATCH (:DiptychMemory)-[r:MENTIONS]->({key: 'a'}) DELETE r",
        "MATCH (:DiptychEntity)-[r:KNOWS]->() DELETE r",
        "MATCH (a {key: 'a'}), (b {key: 'b'}) CREATE (b)-[:ODD {user_id: 'u', memory_id: 'm'}]->(a)",
        "MATCH (m:DiptychMemory), (c:DiptychEntity {key: 'c'}) CREATE (m)-[:MENTIONS]->(c)",
        "MATCH (m:DiptychMemory {id: 'm'}) REMOVE m.edge_types, m.edge_sources, m.edge_targets, m.caption",
        "MATCH (e:DiptychEntity {key: 'b'}) DETACH DELETE e",
        "MATCH (m:DiptychMemory {id: 'm'}) SET m.edge_ids = [999999999]",
    ],
)
async def test_force_puts_right_what_was_done_behind_our_back(graph, harm):
    """Writing a version anew brings its fragment back exactly, whatever was added, changed or taken away."""
    right = write("m", 1, "ab", ("a", "KNOWS", "b"))
    await graph.apply([right, write("other", 1, "c")], timeout=30)
    before = await graph.read([M])
    await cypher(graph, harm)
    await graph.apply([replace(right, force=True)], timeout=30)
    assert await graph.read([M]) == before
    assert await cypher(graph, "MATCH ()-[r {memory_id: 'm'}]->() RETURN count(r) AS n") == [{"n": 1}]


async def test_what_was_lost_does_not_hinder_a_delete(graph):
    """A mention that was removed behind our back leaves no relationship behind when the memory goes."""
    await graph.apply([write("m", 1, "ab", ("a", "KNOWS", "b")), write("n", 1, "ab")], timeout=30)
    await cypher(graph, "MATCH (:DiptychMemory {id: 'm'})-[r:MENTIONS]->() DELETE r")
    assert len((await graph.read([M]))[M].edges) == 1
    await graph.apply([delete("m", 2)], timeout=30)
    assert await cypher(graph, "MATCH ()-[r:KNOWS]->() RETURN count(r) AS n") == [{"n": 0}]


async def test_relationships_whose_ids_have_changed_are_found(graph):
    """After a copy of the database relationships have other ids: they are read and replaced by their types and ends."""
    await graph.apply([write("m", 1, "ab", ("a", "KNOWS", "b")), write("n", 1, "ab", ("a", "KNOWS", "b"))], timeout=30)
    before = await graph.read([M])
    swap = "MATCH (m:DiptychMemory {id: 'm'}), (n:DiptychMemory {id: 'n'}) SET m.edge_ids = n.edge_ids"
    await cypher(graph, swap)
    assert await graph.read([M]) == before
    await graph.apply([write("m", 2, "a")], timeout=30)
    assert await cypher(graph, "MATCH ()-[r:KNOWS]->() RETURN r.memory_id AS id") == [{"id": "n"}]


async def test_the_server_refuses_a_late_write(graph):
    """A write that arrives after its time is refused by the server's clock, which is then measured anew.

    Guard: ``timestamp() <= $not_after`` before anything is touched.
    """
    await graph._clock.now()
    graph._clock._offset -= 60_000
    with pytest.raises(GraphWriteExpiredError):
        await graph.apply([write("m", 1, "a")], timeout=5)
    assert await graph.read([M]) == {}
    assert await graph.entities("u", after=None, limit=9) == []
    assert (await graph.apply([write("m", 1, "a")], timeout=5))[0].version == 1


async def test_a_clock_that_was_set_back_is_noticed(graph):
    """An estimate that the server contradicts is forgotten, so that no write is good for longer than meant."""
    await graph._clock.now()
    graph._clock._offset += 60_000
    await graph.apply([write("m", 1)], timeout=5)
    assert graph._clock._offset is None
    await graph.apply([write("m", 2)], timeout=5)


async def test_a_write_that_waits_too_long_is_undone(graph):
    """A write behind someone's lock ends within its time, leaves nothing, and its connection is good again."""
    await graph.apply([write("m", 1, "a")], timeout=30)
    async with graph._connection._driver.session() as session:
        transaction = await session.begin_transaction()
        await (await transaction.run("MATCH (m:DiptychMemory {id: 'm'}) SET m:DiptychMemory")).consume()
        with pytest.raises((GraphUnavailableError, GraphWriteExpiredError, GraphConflictError)):
            await graph.apply([write("m", 2, "b")], timeout=0.5)
        await transaction.rollback()
    assert (await graph.apply([write("m", 3, "c")], timeout=30))[0].version == 3
    assert [e.key for e in await graph.entities("u", after=None, limit=9)] == ["c"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_cancelled_calls_leave_no_connection_behind(clean_neo4j):
    """Calls cancelled at any point give their connection back: one that is in the pool serves for ever.

    A socket that is cancelled in the middle of being made the driver leaves to the garbage collector, with a warning.
    """
    graph = Neo4jGraph(clean_neo4j, pool_size=1, connect_timeout=2)
    await graph.open()
    for n in range(30):
        task = asyncio.create_task(graph.apply([write("m", n, "ab", ("a", "KNOWS", "b"))], timeout=30))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await graph.ping()
    await graph.apply([write("m", 99, "c")], timeout=30)
    assert [e.key for e in await graph.entities("u", after=None, limit=9)] == ["c"]
    await graph.close()
    gc.collect()


async def test_many_processes_open_an_empty_database_at_once(clean_neo4j):
    """The constraints and indexes are made once, however many come at the same time."""
    graph = Neo4jGraph(clean_neo4j)
    await graph.open()
    for name, statement in statements.CONSTRAINTS.items():
        await cypher(graph, f"DROP {'INDEX' if statement.startswith('CREATE INDEX') else 'CONSTRAINT'} {name}")
    others = [Neo4jGraph(clean_neo4j) for _ in range(6)]
    await asyncio.gather(*[other.open() for other in others])
    assert set((await cypher(graph, statements.PRESENT_INDEXES))[0]["names"]) == set(statements.CONSTRAINTS)
    for one in (graph, *others):
        await one.close()


async def test_a_graph_that_was_closed_says_so(clean_neo4j):
    """Before ``open`` and after ``close`` a call is an outage, not a crash."""
    graph = Neo4jGraph(clean_neo4j)
    for _ in range(2):
        with pytest.raises(GraphUnavailableError):
            await graph.ping()
        await graph.open()
        await graph.close()


def operators(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """List a plan's operators with their details, the last to run first."""
    here = (plan["operatorType"].partition("@")[0], str(plan["args"].get("Details", "")))
    return [here, *[found for child in plan.get("children", []) for found in operators(child)]]


async def plan_of(graph: Neo4jGraph, statement: str, **parameters: Any) -> list[tuple[str, str]]:
    head, _, body = statement.partition("\n") if statement.startswith("CYPHER") else ("", "", statement)
    async with graph._connection._driver.session() as session:
        result = await session.run(f"{head}\nEXPLAIN {body}", parameters)
        return operators((await result.consume()).plan)


@pytest.mark.parametrize("name", ["APPLY", "READ", "COLLECT", "START", "REACH", "STEP", "ENTITIES", "COUNT_TENANT"])
async def test_no_statement_scans(graph, name):
    """Every statement finds its nodes by an index, in a database whose statistics know nothing yet."""
    given = {
        "user_id": "u", "type": "", "key": "", "limit": 1, "fan_out": 1, "hub": 1, "not_after": 0,
        "batch": {}, "walk": {},
    }  # fmt: skip
    used = {operator for operator, _ in await plan_of(graph, getattr(statements, name), **given)}
    assert not {operator for operator in used if "Scan" in operator}
    assert any("IndexSeek" in operator for operator in used)


async def test_entities_come_from_the_index_in_order(graph):
    """A page of entities is read in the index's order, without sorting the tenant."""
    plan = await plan_of(graph, statements.ENTITIES, user_id="u", type="", key="", limit=1)
    assert not {"Sort", "Top", "PartialSort", "PartialTop"} & {operator for operator, _ in plan}


async def test_counting_everything_reads_the_count_store(graph):
    """Counting the whole graph costs the same however large it is."""
    used = [operator for operator, _ in await plan_of(graph, statements.COUNT_ALL)]
    assert used.count("NodeCountFromCountStore") == 3
