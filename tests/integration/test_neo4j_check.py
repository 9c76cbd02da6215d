"""Damage done by hand in a real Neo4j: exactly that is found, exactly that is cut, and other people's data stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from persistence.errors import GraphConflictError, GraphWriteExpiredError
from persistence.graph.neo4j import Neo4jGraph, statements
from persistence.ports.checking import EVERYTHING, EntityPage, GraphHead, OrphanEntity, Span, StrayEdge
from persistence.ports.graph import GraphCounts, GraphWrite
from persistence.ports.outbox import Key
from persistence.projection import bucket, project
from persistence.records import Memory

NOW = datetime(2024, 1, 1, tzinfo=UTC)
VERSION = 1_790_000_000_000_000
M, N, DEAD = Key("u", "m"), Key("u", "n"), Key("u", "dead")


def write(key: Key, names: str = "", *relations: tuple[str, str, str], version: int = VERSION) -> GraphWrite:
    memory = Memory(
        id=key.id,
        user_id=key.user_id,
        content="text",
        entities=[{"name": name, "type": "Person"} for name in names],
        relationships=[{"source": a, "type": kind, "target": b} for a, kind, b in relations],
        version=version,
        digest=0,
        created_at=NOW,
        updated_at=NOW,
    )
    return GraphWrite(key.user_id, key.id, version, bucket(*key), NOW, project(memory))


def delete(key: Key, version: int = VERSION) -> GraphWrite:
    return GraphWrite(key.user_id, key.id, version, bucket(*key), None, None)


KNOWS = ("a", "KNOWS", "b")
WORLD = [
    write(M, "ab", KNOWS),
    write(N, "abc", KNOWS, ("b", "LIKES", "c")),
    write(Key("u", "bare")),
    write(Key("other", "m"), "ab", KNOWS),
    delete(DEAD),
]


@pytest.fixture
async def graph(clean_neo4j: str) -> AsyncIterator[Neo4jGraph]:
    """Two tenants in step, and somebody else's data around them."""
    graph = Neo4jGraph(clean_neo4j)
    await graph.open()
    await graph.apply(WORLD, timeout=60)
    yield graph
    await graph._connection.run("MATCH (x:Stranger) DETACH DELETE x")
    await graph.close()


async def cypher(graph: Neo4jGraph, text: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(record) for record in await graph._connection.run(text, parameters)]


async def everything(graph: Neo4jGraph) -> list[str]:
    """Return all that is in the database, ours and others', but for the ids."""
    nodes = await cypher(graph, "MATCH (n) RETURN labels(n) AS labels, properties(n) AS said")
    edges = await cypher(
        graph,
        "MATCH (a)-[r]->(b) RETURN type(r) AS type, properties(r) AS said, "
        "[a.user_id, coalesce(a.id, a.key, a.name)] AS source, [b.user_id, coalesce(b.id, b.key, b.name)] AS target",
    )
    for node in nodes:
        node["labels"].sort()
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in (*nodes, *edges))


async def loose_ends(graph: Neo4jGraph, user_id: str | None = None, limit: int = 100) -> EntityPage:
    """Return all pages of loose ends as one."""
    pages = [await graph.loose_ends(user_id, after=None, limit=limit)]
    while pages[-1].after is not None:
        pages.append(await graph.loose_ends(user_id, after=pages[-1].after, limit=limit))
    edges = tuple(edge for page in pages for edge in page.edges)
    orphans = tuple(orphan for page in pages for orphan in page.orphans)
    return EntityPage(sum(page.seen for page in pages), edges, orphans, None)


def named(page: EntityPage) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Return what was found without the handles."""
    edges = sorted((edge.user_id, edge.memory_id, edge.type) for edge in page.edges)
    return edges, sorted((orphan.user_id, orphan.key) for orphan in page.orphans)


IN_STEP: tuple[list[Any], list[Any]] = ([], [])
OF_M = "MATCH (m:DiptychMemory {user_id: 'u', id: 'm'}) "
OF_DEAD = "MATCH (m:DiptychMemory {user_id: 'u', id: 'dead'}) "
ENTITIES = (
    "MATCH (a:DiptychEntity {user_id: 'u', key: 'a'}), (b:DiptychEntity {user_id: 'u', key: 'b'}), "
    "(c:DiptychEntity {user_id: 'u', key: 'c'}) "
)
EDGE_OF_M = "MATCH (a:DiptychEntity)-[r:KNOWS {user_id: 'u', memory_id: 'm'}]->(b:DiptychEntity) "


# --- torn memories --------------------------------------------------------------------------------------------------


async def test_a_world_in_step(graph):
    """What was only ever written through the port is whole, whatever other people have around it."""
    await strangers(graph)
    for user_id in (None, "u", "other"):
        assert await graph.torn(user_id, EVERYTHING, limit=100) == []
        assert named(await loose_ends(graph, user_id)) == IN_STEP


@pytest.mark.parametrize(
    "harm",
    [
        OF_M + "MATCH (m)-[r:MENTIONS]->({key: 'a'}) DELETE r",
        OF_M + "MATCH (m)-[r:MENTIONS]->() DELETE r",
        OF_M + ENTITIES + "CREATE (m)-[:MENTIONS]->(a)",
        OF_M + ENTITIES + "CREATE (m)-[:MENTIONS]->(c)",
        OF_M + ENTITIES + "CREATE (m)-[:MENTIONS]->(c) WITH m MATCH (m)-[r:MENTIONS]->({key: 'a'}) DELETE r",
        OF_M + ENTITIES + "CREATE (m)-[:MENTIONS]->(b) WITH m MATCH (m)-[r:MENTIONS]->({key: 'a'}) DELETE r",
        EDGE_OF_M + "DELETE r",
        EDGE_OF_M + "SET r.memory_id = 'n'",
        EDGE_OF_M + "SET r.user_id = 'other'",
        EDGE_OF_M + "REMOVE r.memory_id",
        EDGE_OF_M + "DELETE r CREATE (a)-[:LIKES {user_id: 'u', memory_id: 'm'}]->(b)",
        EDGE_OF_M + "DELETE r CREATE (b)-[:KNOWS {user_id: 'u', memory_id: 'm'}]->(a)",
        OF_M + "REMOVE m.edge_ids",
        OF_M + "SET m.edge_ids = [99999999]",
        OF_M + "REMOVE m.entity_types, m.entity_keys",
        OF_M + "REMOVE m:Memory",
        OF_M + "REMOVE m:Memory SET m:DiptychTombstone",
        OF_M + "SET m:DiptychTombstone",
        OF_M + "REMOVE m.digest",
    ],
)
async def test_a_torn_memory_is_found(graph, harm):
    """A live memory whose edges or labels were changed is found, whatever the change, and it alone."""
    await cypher(graph, harm)
    for user_id in (None, "u"):
        assert await graph.torn(user_id, EVERYTHING, limit=100) == [M]
    assert await graph.torn("other", EVERYTHING, limit=100) == []


@pytest.mark.parametrize(
    "harm",
    [
        OF_DEAD + ENTITIES + "CREATE (m)-[:MENTIONS]->(a)",
        OF_DEAD + "SET m.digest = 1",
        OF_DEAD + "REMOVE m:DiptychTombstone",
        OF_DEAD + "SET m:Memory",
        OF_DEAD + "SET m:Memory REMOVE m:DiptychTombstone",
    ],
)
async def test_a_tombstone_that_is_none_is_found(graph, harm):
    """A tombstone that owns something, or does not look like one, is found, and it alone."""
    await cypher(graph, harm)
    for user_id in (None, "u"):
        assert await graph.torn(user_id, EVERYTHING, limit=100) == [DEAD]


async def test_what_others_hang_on_a_memory_does_not_tear_it(graph):
    """Edges of others at a memory's node, even some called MENTIONS, and further properties do not matter."""
    await cypher(graph, OF_M + "SET m.colour = 'red' CREATE (s:Stranger)-[:SAW]->(m) CREATE (m)-[:MENTIONS]->(s)")
    await cypher(graph, ENTITIES + "CREATE (a)-[:KNOWS]->(b) CREATE (:Stranger)-[:MENTIONS]->(a)")
    assert await graph.torn(None, EVERYTHING, limit=100) == []


async def test_all_are_torn_where_ids_have_changed(graph):
    """In a copied database nothing is where a node remembers it: all with relationships are for a closer look."""
    swap = OF_M + "MATCH (n:DiptychMemory {user_id: 'u', id: 'n'}) WITH m, n, m.edge_ids AS ids "
    await cypher(graph, swap + "SET m.edge_ids = n.edge_ids[..1], n.edge_ids = [ids[0], ids[0]]")
    assert sorted(await graph.torn("u", EVERYTHING, limit=100)) == [M, N]
    assert named(await loose_ends(graph, "u")) == IN_STEP


async def test_torn_memories_of_a_span(graph):
    """Only the buckets of the span are looked at, and no more than the limit returned."""
    await cypher(graph, "MATCH (:DiptychMemory)-[r:MENTIONS]->() DELETE r")
    at, torn = bucket(*M), {M, N, Key("other", "m")}
    assert await graph.torn(None, Span(at, at + 1), limit=100) == [M]
    assert await graph.torn("u", Span(at, at + 1), limit=100) == [M]
    assert M not in await graph.torn(None, Span(at + 1, EVERYTHING.high), limit=100)
    assert set(await graph.torn(None, EVERYTHING, limit=100)) == torn
    assert len(await graph.torn(None, EVERYTHING, limit=2)) == 2


async def test_writing_anew_mends_what_was_torn(graph):
    """After a forced write of the same version a torn memory is whole again, and so is the rest."""
    before = await everything(graph)
    await cypher(
        graph, OF_M + ENTITIES + "CREATE (m)-[:MENTIONS]->(c) WITH m MATCH (m)-[r:MENTIONS]->({key: 'a'}) DELETE r"
    )
    await cypher(graph, EDGE_OF_M + "DELETE r CREATE (a)-[:LIKES {user_id: 'u', memory_id: 'm'}]->(b)")
    await graph.apply([replace(WORLD[0], force=True)], timeout=60)
    assert await graph.torn(None, EVERYTHING, limit=100) == []
    assert named(await loose_ends(graph)) == IN_STEP
    without_ids = [row for row in await everything(graph) if "edge_ids" not in row]
    assert without_ids == [row for row in before if "edge_ids" not in row]


# --- loose ends -----------------------------------------------------------------------------------------------------


async def strangers(graph: Neo4jGraph) -> None:
    """Put somebody else's data between ours: none of it says to belong to a memory, or it leads out of our graph."""
    await cypher(
        graph,
        ENTITIES + "CREATE (a)-[:OWNS]->(b), (a)-[:OWNS {memory_id: 'gone'}]->(b), (a)-[:OWNS {user_id: 'u'}]->(b), "
        "(s:Stranger:Entity {user_id: 'u', type: 'Person', key: 'z', name: 's'}), "
        "(t:Stranger:Memory {user_id: 'u', id: 'gone', version: 9, name: 't'})-[:MENTIONS]->(s), "
        "(a)-[:OWNS {user_id: 'u', memory_id: 'gone'}]->(s), (s)-[:OWNS {user_id: 'u', memory_id: 'gone'}]->(a)",
    )


LOOSE = {
    "an entity": (
        "CREATE (:DiptychEntity:Entity:Person {user_id: 'u', type: 'Person', key: 'lone', name: 'Lone'})",
        ([], [("u", "lone")]),
    ),
    "of nobody": (
        ENTITIES + "CREATE (a)-[:ODD {user_id: 'u', memory_id: 'nobody'}]->(b)",
        ([("u", "nobody", "ODD")], []),
    ),
    "of a tombstone": (
        ENTITIES + "CREATE (a)-[:ODD {user_id: 'u', memory_id: 'dead'}]->(b)",
        ([("u", "dead", "ODD")], []),
    ),
    "of a memory that owns another": (
        ENTITIES + "CREATE (b)-[:ODD {user_id: 'u', memory_id: 'm'}]->(a)",
        ([("u", "m", "ODD")], []),
    ),
    "the same twice": (
        ENTITIES + "CREATE (a)-[:KNOWS {user_id: 'u', memory_id: 'm'}]->(b)",
        ([("u", "m", "KNOWS")], []),
    ),
    "of a memory that owns none": (
        ENTITIES + "CREATE (c)-[:ODD {user_id: 'u', memory_id: 'bare'}]->(c)",
        ([("u", "bare", "ODD")], []),
    ),
    "in another tenant's name": (
        ENTITIES + "CREATE (a)-[:KNOWS {user_id: 'other', memory_id: 'm'}]->(b)",
        ([("other", "m", "KNOWS")], []),
    ),
    "many": (
        ENTITIES + "UNWIND range(1, 30) AS i CREATE (a)-[:ODD {user_id: 'u', memory_id: 'x' + (10 + i)}]->(b)",
        ([("u", f"x{10 + i}", "ODD") for i in range(1, 31)], []),
    ),
}


@pytest.mark.parametrize("what", LOOSE)
async def test_what_is_loose_is_found_and_cut_exactly(graph, what):
    """What was put there behind our back is found, is still loose when asked again, and goes; all else stays."""
    await strangers(graph)
    before = await everything(graph)
    harm, expected = LOOSE[what]
    await cypher(graph, harm)
    for limit in (1, 100):
        page = await loose_ends(graph, limit=limit)
        assert named(page) == expected
    assert named(await loose_ends(graph, "u")) == expected
    assert named(await loose_ends(graph, "other")) == IN_STEP
    assert await graph.still_loose(page.edges, page.orphans) == (list(page.edges), list(page.orphans))
    assert await graph.cut_loose(page.edges, page.orphans) == len(page.edges) + len(page.orphans)
    assert await everything(graph) == before
    assert named(await loose_ends(graph)) == IN_STEP
    assert await graph.still_loose(page.edges, page.orphans) == ([], [])
    assert await graph.cut_loose(page.edges, page.orphans) == 0


async def test_what_a_lost_memory_leaves_behind(graph):
    """A memory's node that was removed by hand leaves its relationships; the entities that only they hold go too."""
    await cypher(graph, "MATCH (n:DiptychMemory {user_id: 'u', id: 'n'}) DETACH DELETE n")
    page = await loose_ends(graph)
    assert named(page) == ([("u", "n", "KNOWS"), ("u", "n", "LIKES")], [])
    assert await graph.cut_loose(page.edges, page.orphans) == 2
    assert named(await loose_ends(graph)) == IN_STEP
    assert [entity.key for entity in await graph.entities("u", after=None, limit=9)] == ["a", "b"]


async def test_pages_with_very_many_relationships_lose_none(graph):
    """More stray relationships than one answer holds, some of them at one hub, come in several pages, each once."""
    await cypher(
        graph, ENTITIES + "UNWIND range(1, 2500) AS i CREATE (a)-[:ODD {user_id: 'u', memory_id: 'x' + i}]->(b)"
    )
    await cypher(
        graph, ENTITIES + "UNWIND range(1, 700) AS i CREATE (b)-[:ODD {user_id: 'u', memory_id: 'y' + i}]->(c)"
    )
    page = await loose_ends(graph, "u")
    assert len({edge.handle for edge in page.edges}) == len(page.edges) == 3_200
    assert page.seen == 3


@pytest.mark.parametrize(
    "change",
    [
        ENTITIES + "MATCH (a)-[r:ODD]->(b) DELETE r",
        ENTITIES + "MATCH (a)-[r:ODD]->(b) SET r.memory_id = 'm2'",
        ENTITIES + "MATCH (a)-[r:ODD]->(b) REMOVE r.user_id",
        OF_M + ENTITIES + "MATCH (a)-[r:ODD]->(b) SET m.edge_ids = m.edge_ids + id(r)",
    ],
)
async def test_an_edge_that_is_loose_no_more_is_not_cut(graph, change):
    """Between the look and the cut a relationship may go, become another's, or become owned: then it is left alone."""
    await cypher(graph, ENTITIES + "CREATE (a)-[:ODD {user_id: 'u', memory_id: 'm'}]->(b)")
    page = await loose_ends(graph)
    assert len(page.edges) == 1
    await cypher(graph, change)
    before = await everything(graph)
    assert await graph.still_loose(page.edges, ()) == ([], [])
    assert await graph.cut_loose(page.edges, ()) == 0
    assert await everything(graph) == before


@pytest.mark.parametrize(
    "change",
    [
        "MATCH (e:DiptychEntity {key: 'lone'}) DELETE e",
        "MATCH (e:DiptychEntity {key: 'lone'}) SET e.key = 'other'",
        "MATCH (e:DiptychEntity {key: 'lone'}) REMOVE e:DiptychEntity SET e:Stranger",
        "MATCH (e:DiptychEntity {key: 'lone'}) CREATE (:Stranger)-[:LIKES]->(e)",
        OF_M + "MATCH (e:DiptychEntity {key: 'lone'}) CREATE (m)-[:MENTIONS]->(e)",
    ],
)
async def test_an_entity_that_is_loose_no_more_is_not_cut(graph, change):
    """Between the look and the cut an entity may go, change its name or get an edge: then it is left alone."""
    await cypher(graph, LOOSE["an entity"][0])
    page = await loose_ends(graph)
    assert len(page.orphans) == 1
    await cypher(graph, change)
    before = await everything(graph)
    assert await graph.still_loose((), page.orphans) == ([], [])
    assert await graph.cut_loose((), page.orphans) == 0
    assert await everything(graph) == before


async def test_a_handle_that_means_something_else_now(graph):
    """An id alone is never believed: what it names has to say what was said of it."""
    (ids,) = await cypher(graph, EDGE_OF_M + "RETURN id(r) AS edge, id(a) AS entity")
    edges = [StrayEdge(str(ids["edge"]), "u", "nobody", "KNOWS"), StrayEdge(str(10**9), "u", "m", "KNOWS")]
    orphans = [OrphanEntity(str(ids["entity"]), "u", "Person", "z"), OrphanEntity(str(10**9), "u", "Person", "a")]
    before = await everything(graph)
    assert await graph.still_loose(edges, orphans) == ([], [])
    assert await graph.cut_loose(edges, orphans) == 0
    assert await everything(graph) == before


async def test_an_entity_that_is_being_taken_up_is_not_cut(graph):
    """Who ties something to an entity while it is being cut keeps it. Guard: the lock is taken before the look."""
    await cypher(graph, LOOSE["an entity"][0])
    page = await loose_ends(graph)
    async with graph._connection._driver.session() as session, await session.begin_transaction() as transaction:
        taken = "MATCH (e:DiptychEntity {key: 'lone'}) SET e:DiptychEntity CREATE (:Stranger)-[:LIKES]->(e)"
        await (await transaction.run(taken)).consume()
        cutting = asyncio.create_task(graph.cut_loose((), page.orphans))
        while not await cypher(graph, "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked'"):
            assert not cutting.done()
        await transaction.commit()
    assert await cutting == 0
    assert await cypher(graph, "MATCH (:Stranger)-[r:LIKES]->(:DiptychEntity) RETURN count(r) AS n") == [{"n": 1}]


# --- emptying a tenant ----------------------------------------------------------------------------------------------


async def test_an_emptied_tenant_leaves_what_is_not_ours(graph):
    """Entities that others have tied something to stay with it, and another tenant stays whole; strays of ours go."""
    await strangers(graph)
    await cypher(graph, LOOSE["of nobody"][0])
    theirs = await graph.read([Key("other", "m")])
    while await graph.clear("u", limit=2, timeout=60):
        pass
    assert await graph.counts("u") == GraphCounts(0, 4, 2)
    assert await graph.read([Key("other", "m")]) == theirs
    assert await cypher(graph, "MATCH ()-[r:OWNS]->() RETURN count(r) AS n") == [{"n": 5}]
    assert await cypher(graph, "MATCH ({user_id: 'u'})-[r:KNOWS|LIKES|ODD]->() RETURN count(r) AS n") == [{"n": 0}]
    assert await graph.torn(None, EVERYTHING, limit=100) == []


async def test_an_emptied_node_is_a_tombstone_as_any_other(graph):
    """What is left of a memory says no more than a deleted one does."""
    while await graph.clear("u", limit=100, timeout=60):
        pass
    (emptied,) = await cypher(graph, OF_M + "RETURN properties(m) AS said, labels(m) AS labels")
    (deleted,) = await cypher(graph, OF_DEAD + "RETURN properties(m) AS said, labels(m) AS labels")
    assert emptied["said"].keys() == deleted["said"].keys()
    assert sorted(emptied["labels"]) == sorted(deleted["labels"])
    assert await graph.heads([M]) == {M: GraphHead(VERSION - 1, None, live=False)}


async def test_the_servers_clock_refuses_a_late_clear(graph):
    """A clear that arrives late by the server's clock takes nothing away; then the clock is measured anew."""
    assert graph._clock._offset is not None
    graph._clock._offset -= 120_000
    before = await graph.counts("u")
    with pytest.raises(GraphWriteExpiredError):
        await graph.clear("u", limit=2, timeout=60)
    assert await graph.counts("u") == before
    assert await graph.clear("u", limit=2, timeout=60) > 0


async def test_writers_lose_nothing_to_one_who_empties(graph):
    """Whatever is written while a tenant is emptied, what truth says is accepted afterwards and is whole."""
    newest = {key: WORLD[i] for i, key in enumerate((M, N))}

    async def writer(key: Key) -> None:
        for version in range(VERSION + 1, VERSION + 16):
            newest[key] = write(key, "abcd", KNOWS, ("c", "LIKES", "d"), version=version)
            await persisted(graph, newest[key])

    async def emptier() -> None:
        while await retried(lambda: graph.clear("u", limit=2, timeout=60)) or not all(task.done() for task in writers):
            pass

    writers = [asyncio.create_task(writer(key)) for key in newest]
    await asyncio.gather(*writers, emptier())
    for one in newest.values():
        await persisted(graph, replace(one, force=True))
    assert {key: head.version for key, head in (await graph.heads([M, N])).items()} == dict.fromkeys(
        (M, N), VERSION + 15
    )
    assert await graph.torn("u", EVERYTHING, limit=100) == []
    page = await loose_ends(graph, "u")
    assert page.edges == ()
    read = await graph.read([M, N])
    assert [len(memory.entities) for memory in read.values()] == [4, 4]


async def retried(call: Any) -> Any:
    """Repeat a call until no other transaction is in its way."""
    while True:
        try:
            return await call()
        except GraphConflictError:
            await asyncio.sleep(0)


async def persisted(graph: Neo4jGraph, one: GraphWrite) -> None:
    await retried(lambda: graph.apply([one], timeout=60))


# --- what it costs --------------------------------------------------------------------------------------------------


def operators(plan: dict[str, Any]) -> list[str]:
    """List a plan's operators."""
    here = plan["operatorType"].partition("@")[0]
    return [here, *[found for child in plan.get("children", []) for found in operators(child)]]


async def plan_of(graph: Neo4jGraph, how: str, statement: str, **given: Any) -> dict[str, Any]:
    head, _, body = statement.partition("\n")
    async with graph._connection._driver.session() as session:
        summary = await (await session.run(f"{head}\n{how} {body}", given)).consume()
    return summary.plan if how == "EXPLAIN" else summary.profile


GIVEN = {
    "user_id": "u", "id": "", "type": "", "key": "", "limit": 10, "most": 10, "low": 0, "high": EVERYTHING.high,
    "width": 1, "generation": 1, "batch": {}, "not_after": 2**62,
}  # fmt: skip
STATEMENTS = {
    **{name: getattr(statements, name) for name in ("HEADS", "STILL_STRAY", "CUT_STRAYS", "LONE_ENTITIES")},
    **{name: getattr(statements, name) for name in ("THERE_ENTITIES", "CUT_ENTITIES")},
    **{name: getattr(statements, name) for name in ("CLEAR_EDGES", "CLEAR_MEMORIES", "CLEAR_ENTITIES")},
    **{
        f"{name}, {'one tenant' if one else 'all'}": statement
        for name in ("BUCKET_SUMS", "BUCKET_ROWS", "TORN", "LOOSE_ENDS", "UNSTAMPED")
        for one, statement in getattr(statements, name).items()
    },
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_scans(graph, name):
    """Every statement finds its nodes by an index or by their ids, and pages in the index's order without sorting."""
    used = set(operators(await plan_of(graph, "EXPLAIN", STATEMENTS[name], **GIVEN)))
    assert not {operator for operator in used if "Scan" in operator}
    assert any("Seek" in operator for operator in used)
    if name.startswith(("LOOSE_ENDS", "UNSTAMPED")):
        assert not {"Sort", "Top", "PartialSort", "PartialTop"} & used


def hits(plan: dict[str, Any]) -> int:
    """Add up what a statement has looked at in the store."""
    return int(plan.get("dbHits", 0)) + sum(hits(child) for child in plan.get("children", []))


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name.endswith("one tenant")])
async def test_a_tenants_call_reads_that_tenant_alone(graph, name):
    """I9: what a tenant's call looks at stays the same to the last record, however much other tenants have."""
    given = {**GIVEN, "batch": {"blocks": list(range(4))}, "width": 1 << 22}
    before = hits(await plan_of(graph, "PROFILE", STATEMENTS[name], **given))
    others = [write(Key(user_id, f"m{n}"), "ab", KNOWS) for user_id in ("a", "other", "z") for n in range(60)]
    await graph.apply(others, timeout=60)
    assert before > 0
    assert hits(await plan_of(graph, "PROFILE", STATEMENTS[name], **given)) == before
