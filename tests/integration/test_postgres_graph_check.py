"""Damage done by hand in a graph on a real PostgreSQL: exactly that is found, and exactly that is cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from persistence.errors import GraphConflictError
from persistence.graph.postgres import PostgresGraph, checking
from persistence.ports.checking import EVERYTHING, EntityPage, OrphanEntity, Span, StrayEdge
from persistence.ports.graph import GraphWrite
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


KNOWS = ("a", "KNOWS", "b")
WORLD = [
    write(M, "ab", KNOWS),
    write(N, "abc", KNOWS, ("b", "LIKES", "c")),
    write(Key("u", "bare")),
    write(Key("other", "m"), "ab", KNOWS),
    GraphWrite(*DEAD, VERSION, bucket(*DEAD), None, None),
]
TABLES = ("memories", "entities", "mentions", "edges")
#: Numbers of nodes, to be put into the statements of a harm.
NODES = """
    SELECT
        (SELECT number FROM memories WHERE user_id = 'u' AND id = 'm'),
        (SELECT number FROM memories WHERE user_id = 'u' AND id = 'n'),
        (SELECT number FROM memories WHERE user_id = 'u' AND id = 'dead'),
        (SELECT number FROM entities WHERE user_id = 'u' AND key = 'a'),
        (SELECT number FROM entities WHERE user_id = 'u' AND key = 'b'),
        (SELECT number FROM entities WHERE user_id = 'u' AND key = 'c'),
        (SELECT number FROM entities WHERE user_id = 'other' AND key = 'a')
"""
NAMES = ("m", "n", "dead", "a", "b", "c", "foreign")
STRAY_OF_M = "INSERT INTO edges VALUES (%(m)s, 7, %(a)s, 'HATES', %(c)s, '{}')"
STRAY_OF_DEAD = "INSERT INTO edges VALUES (%(dead)s, 0, %(b)s, 'HATES', %(c)s, '{}')"
ORPHAN = "INSERT INTO entities (user_id, type, key, name) VALUES ('u', 'Person', 'z', 'z')"


@pytest.fixture
async def graph(postgres_url: str, pg_schema: str) -> AsyncIterator[PostgresGraph]:
    """Two tenants in step."""
    graph = PostgresGraph(postgres_url, schema=pg_schema)
    await graph.open()
    await graph.apply(WORLD, timeout=60)
    yield graph
    await graph.close()


async def harm(graph: PostgresGraph, statement: str) -> None:
    """Run a statement in which names stand for the numbers of nodes."""
    async with graph._sessions.use() as connection:
        numbers = await (await connection.execute(NODES)).fetchone()
        await connection.execute(statement, dict(zip(NAMES, numbers, strict=True)))


async def everything(graph: PostgresGraph) -> list[str]:
    """Return all rows."""
    async with graph._sessions.use() as connection:
        rows = [
            [table, *row] for table in TABLES for row in await (await connection.execute(f"TABLE {table}")).fetchall()
        ]
    return sorted(json.dumps(row, default=str) for row in rows)


def named(page: EntityPage) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    edges = sorted((edge.user_id, edge.memory_id, edge.type) for edge in page.edges)
    return edges, sorted((orphan.user_id, orphan.key) for orphan in page.orphans)


async def test_a_world_in_step(graph):
    """Where nothing was damaged, nothing is torn and nothing is loose."""
    for user_id in (None, "u", "other"):
        assert await graph.torn(user_id, EVERYTHING, limit=100) == []
        assert named(await graph.loose_ends(user_id, after=None, limit=100)) == ([], [])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM mentions WHERE memory = %(m)s AND entity = %(a)s",
        "DELETE FROM mentions WHERE memory = %(m)s",
        "UPDATE mentions SET entity = %(c)s WHERE memory = %(m)s AND entity = %(a)s",
        "UPDATE mentions SET entity = %(foreign)s WHERE memory = %(m)s AND entity = %(a)s",
        "INSERT INTO mentions VALUES (%(m)s, %(c)s, '{}')",
        "DELETE FROM edges WHERE memory = %(m)s",
        "UPDATE edges SET type = 'LIKES' WHERE memory = %(m)s",
        "UPDATE edges SET source = target, target = source WHERE memory = %(m)s",
        "UPDATE edges SET target = %(c)s WHERE memory = %(m)s",
        "UPDATE edges SET position = 1 WHERE memory = %(m)s",
        "UPDATE edges SET memory = %(n)s, position = 9 WHERE memory = %(m)s",
        "UPDATE memories SET mark = 0 WHERE number = %(m)s",
        "UPDATE memories SET mentions = 9 WHERE number = %(m)s",
        "UPDATE memories SET edges = 0 WHERE number = %(m)s",
    ],
)
async def test_a_torn_memory_is_found(graph, statement):
    """A live memory whose edges were changed is found, whatever the change, and it alone; writing it anew mends it."""
    before = await graph.read([M, N])
    await harm(graph, statement)
    for user_id in (None, "u"):
        assert await graph.torn(user_id, EVERYTHING, limit=100) == [M]
    assert await graph.torn("other", EVERYTHING, limit=100) == []
    forced = GraphWrite(*M, VERSION, bucket(*M), NOW, WORLD[0].fragment, force=True)
    await graph.apply([forced], timeout=60)
    page = await graph.loose_ends(None, after=None, limit=100)
    await graph.cut_loose(page.edges, page.orphans)
    assert await graph.torn(None, EVERYTHING, limit=100) == []
    assert await graph.read([M, N]) == before


async def test_an_entity_that_became_another_tears_all_who_mention_it(graph):
    """A node whose key was changed is another entity: each memory that speaks of it is found."""
    await harm(graph, "UPDATE entities SET key = 'z' WHERE number = %(a)s")
    assert sorted(await graph.torn(None, EVERYTHING, limit=100)) == [M, N]


async def test_a_tombstone_that_owns_something_is_found(graph):
    """A tombstone with a mention is torn; with a relationship it has a loose end."""
    await harm(graph, "INSERT INTO mentions VALUES (%(dead)s, %(a)s, '{}')")
    assert await graph.torn("u", EVERYTHING, limit=100) == [DEAD]
    await harm(graph, STRAY_OF_DEAD)
    assert named(await graph.loose_ends("u", after=None, limit=100)) == ([("u", "dead", "HATES")], [])


async def test_torn_memories_of_a_span(graph):
    """Only the buckets of the span are looked at, and no more than the limit returned."""
    await harm(graph, "DELETE FROM mentions")
    at, torn = bucket(*M), {M, N, Key("other", "m")}
    assert await graph.torn(None, Span(at, at + 1), limit=100) == [M]
    assert set(await graph.torn(None, EVERYTHING, limit=100)) == torn
    assert len(await graph.torn(None, EVERYTHING, limit=2)) == 2


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_what_is_loose_is_found_and_cut_exactly(graph, limit):
    """Relationships that nobody remembers and entities of nobody are found page by page, cut, and nothing else is."""
    before = await everything(graph)
    for statement in (STRAY_OF_M, STRAY_OF_DEAD, ORPHAN):
        await harm(graph, statement)
    assert await graph.torn(None, EVERYTHING, limit=100) == []
    pages = [await graph.loose_ends("u", after=None, limit=limit)]
    while pages[-1].after is not None:
        pages.append(await graph.loose_ends("u", after=pages[-1].after, limit=limit))
    edges, orphans = [e for page in pages for e in page.edges], [o for page in pages for o in page.orphans]
    assert sorted(edge.memory_id for edge in edges) == ["dead", "m"]
    assert [orphan.key for orphan in orphans] == ["z"]
    assert named(await graph.loose_ends("other", after=None, limit=100)) == ([], [])
    assert await graph.still_loose(edges, orphans) == (edges, orphans)
    assert await graph.cut_loose(edges, orphans) == 3
    assert await everything(graph) == before
    assert await graph.still_loose(edges, orphans) == ([], [])
    assert await graph.cut_loose(edges, orphans) == 0


async def test_an_entity_goes_with_the_loose_end_that_held_it(graph):
    """What nothing but a loose end held goes with it; a page with very many of them loses none."""
    await harm(graph, ORPHAN)
    many = "SELECT %(m)s, g + 100, number, 'HATES', number, '{}' FROM generate_series(1, 1500) g, entities"
    await harm(graph, f"INSERT INTO edges {many} WHERE key = 'z'")
    page = await graph.loose_ends("u", after=None, limit=100)
    found = list(page.edges)
    while page.after is not None:
        page = await graph.loose_ends("u", after=page.after, limit=100)
        found += page.edges
    assert len({edge.handle for edge in found}) == 1_500
    assert await graph.cut_loose(found, []) == 1_500
    assert [entity.key for entity in await graph.entities("u", after=None, limit=10)] == ["a", "b", "c"]


async def test_what_is_loose_no_more_is_not_cut(graph):
    """A relationship that its memory owns by now, and an entity that somebody mentions by now, stay."""
    await harm(graph, STRAY_OF_M)
    await harm(graph, ORPHAN)
    page = await graph.loose_ends("u", after=None, limit=100)
    assert len(page.edges) == len(page.orphans) == 1
    await harm(graph, "DELETE FROM edges WHERE memory = %(m)s AND position = 7")
    eight = [("a", f"K{n}", "b") for n in range(8)]
    await graph.apply([write(M, "abz", *eight, version=VERSION + 1)], timeout=60)
    before = await everything(graph)
    assert await graph.still_loose(page.edges, page.orphans) == ([], [])
    assert await graph.cut_loose(page.edges, page.orphans) == 0
    assert await everything(graph) == before


async def test_a_handle_of_another_tenant_means_nothing(graph):
    """I9: a handle counts only together with the identity that it was given for."""
    await harm(graph, STRAY_OF_M)
    await harm(graph, ORPHAN)
    page = await graph.loose_ends("u", after=None, limit=100)
    edges = [StrayEdge(edge.handle, "other", edge.memory_id, edge.type) for edge in page.edges]
    orphans = [OrphanEntity(orphan.handle, "other", orphan.type, orphan.key) for orphan in page.orphans]
    assert await graph.still_loose(edges, orphans) == ([], [])
    assert await graph.cut_loose(edges, orphans) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO mentions VALUES (%(m)s, 999999, '{}')",
        "INSERT INTO edges VALUES (%(m)s, 9, %(a)s, 'KNOWS', 999999, '{}')",
        "DELETE FROM entities WHERE number = %(a)s",
        "DELETE FROM memories WHERE number = %(m)s",
    ],
)
async def test_no_edge_without_its_ends(graph, statement):
    """The tables themselves refuse an edge that begins or ends nowhere."""
    with pytest.raises(GraphConflictError) as caught:
        await harm(graph, statement)
    assert isinstance(caught.value.__cause__, psycopg.errors.ForeignKeyViolation)


@pytest.mark.parametrize("one", [True, False])
async def test_sums_come_out_of_an_index_alone(graph, one):
    """A quick check reads no row of a memory: the sums of one tenant, and of all, come from a covering index."""
    given: dict[str, Any] = {"user_id": "u", "low": 0, "high": 1 << 24, "shift": 12, "limit": 10}
    plans = {}
    async with graph._sessions.use() as connection:
        for name, query in {"sums": checking._SUMS[one], "torn": checking._TORN[one]}.items():
            rows = await (await connection.execute(b"EXPLAIN " + query, given, prepare=False)).fetchall()
            plans[name] = "\n".join(row[0] for row in rows)
    index = "memories_check" if one else "memories_check_all"
    assert f"Index Only Scan using {index} on memories" in plans["sums"]
    assert "Seq Scan" not in plans["torn"]
