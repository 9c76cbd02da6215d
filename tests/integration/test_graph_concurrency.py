"""Concurrent writers on a real Neo4j and a real PostgreSQL: nothing lost, nothing left over, no stale writer wins."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from neo4j import Session

from persistence.errors import GraphConflictError
from persistence.graph.memory import MemoryGraph
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.postgres import PostgresGraph
from persistence.ports.graph import GraphStore, GraphWrite, Verdict
from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone
from persistence.projection import bucket, project
from persistence.records import Memory
from tests.conftest import neo4j_driver
from tests.faults.stores import until

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SEED = 20240229
WRITERS = 8
HOT = [f"hot {n}" for n in range(30)]
IDS = [f"m{n:02}" for n in range(60)]


COUNTED = """
    SELECT
        (SELECT count(*) FROM mentions) AS mentions, (SELECT count(*) FROM edges) AS relations,
        (SELECT count(*) FROM entities) AS entities,
        (
            SELECT count(*) FROM entities AS e
            WHERE NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number)
        ) AS orphans
"""


@pytest.fixture(params=["neo4j", "postgres"])
async def graph(request: pytest.FixtureRequest) -> AsyncIterator[GraphStore]:
    if request.param == "neo4j":
        graph: GraphStore = Neo4jGraph(request.getfixturevalue("clean_neo4j"), pool_size=2 * WRITERS)
    else:
        url, schema = request.getfixturevalue("postgres_url"), request.getfixturevalue("pg_schema")
        graph = PostgresGraph(url, schema=schema, pool_size=2 * WRITERS)
    await graph.open()
    yield graph
    await graph.close()


def write(memory_id: str, version: int, names: list[str]) -> GraphWrite:
    relations = [{"source": a, "type": "KNOWS", "target": b} for a, b in pairwise(names)]
    entities = [{"name": name, "type": "Person"} for name in names]
    memory = Memory(
        id=memory_id, user_id="u", content="text", entities=entities, relationships=relations,
        version=version, digest=0, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return GraphWrite("u", memory_id, version, bucket("u", memory_id), NOW, project(memory))


def delete(memory_id: str, version: int) -> GraphWrite:
    return GraphWrite("u", memory_id, version, bucket("u", memory_id), None, None)


async def persist(graph: GraphStore, writes: list[GraphWrite], seen: Counter[str], rng: random.Random) -> None:
    """Apply until it is done; only a conflict may stand in the way."""
    while True:
        try:
            acks = await graph.apply(writes, timeout=60)
        except GraphConflictError as error:
            seen[getattr(error.__cause__, "code", None) or getattr(error.__cause__, "sqlstate", None) or "?"] += 1
            await asyncio.sleep(rng.uniform(0, 0.02))  # the back-off that every caller has
        else:
            seen.update(ack.verdict.value for ack in acks)
            return


async def in_the_store(graph: GraphStore) -> dict[str, int]:
    """Count what is there by Cypher or SQL of our own."""
    if isinstance(graph, PostgresGraph):
        async with graph._sessions.use() as connection:
            cursor = await connection.execute(COUNTED)
            return dict(zip([column.name for column in cursor.description], await cursor.fetchone(), strict=True))
    records = await graph._connection.run(
        "CALL () { MATCH (:DiptychMemory)-[r:MENTIONS]->(:DiptychEntity) RETURN count(r) AS mentions } "
        "CALL () { MATCH (:DiptychEntity)-[r]->(:DiptychEntity) RETURN count(r) AS relations } "
        "CALL () { MATCH (e:DiptychEntity) RETURN count(e) AS entities } "
        "CALL () { MATCH (e:DiptychEntity) WHERE NOT (e)--() RETURN count(e) AS orphans } "
        "RETURN mentions, relations, entities, orphans"
    )
    return dict(records[0])


async def the_model_of(writes: list[GraphWrite]) -> MemoryGraph:
    model = MemoryGraph()
    newest: dict[str, GraphWrite] = {}
    for one in writes:
        if one.id not in newest or newest[one.id].version < one.version:
            newest[one.id] = one
    await model.apply(list(newest.values()), timeout=60)
    return model


def program(rng: random.Random, operations: int) -> list[GraphWrite]:
    """Make writes, replacements and deletes of few memories that share few entities, their versions out of order."""
    versions = sorted(range(1, operations + 1), key=lambda version: version + rng.uniform(0, 100))
    return [
        delete(rng.choice(IDS), version)
        if rng.random() < 0.3
        else write(rng.choice(IDS), version, rng.sample(HOT, rng.randint(1, 4)))
        for version in versions
    ]


async def run(graph: GraphStore, batches: list[list[GraphWrite]]) -> Counter[str]:
    """Let the writers take the batches, each its own share; return how often what happened."""
    seen: Counter[str] = Counter()

    async def writer(share: int) -> None:
        rng = random.Random(SEED + share)
        for batch in batches[share::WRITERS]:
            await persist(graph, batch, seen, rng)

    async with asyncio.TaskGroup() as group:
        for share in range(WRITERS):
            group.create_task(writer(share))
    sys.stdout.write(f"seed {SEED}: {dict(seen)}\n")
    return seen


async def assert_exact(graph: GraphStore, writes: list[GraphWrite]) -> None:
    """Compare everything with the newest write of each memory, applied by one writer to the graph in memory."""
    model = await the_model_of(writes)
    keys = [Key("u", memory_id) for memory_id in IDS]
    there, wanted = await graph.read(keys), await model.read(keys)
    assert {key: _content(memory) for key, memory in there.items()} == {k: _content(m) for k, m in wanted.items()}
    entities = [(e.type, e.key) for e in await model.entities("u", after=None, limit=1_000)]
    assert [(e.type, e.key) for e in await graph.entities("u", after=None, limit=1_000)] == entities
    counted = await in_the_store(graph)
    assert counted == {
        "mentions": sum(len(memory.entities) for memory in wanted.values()),
        "relations": sum(len(memory.edges) for memory in wanted.values()),
        "entities": len(entities),
        "orphans": 0,
    }
    assert await graph.counts(None) == await model.counts(None)


def _content(memory):
    return memory.version, memory.live, memory.digest, [(e.type, e.key) for e in memory.entities], memory.edges


@pytest.mark.timeout(300)
async def test_eight_writers_on_thirty_shared_entities(graph):
    """I8: 2,000 single operations lose no edge and leave no orphan. Guard: entities locked, then counted."""
    writes = program(random.Random(SEED), 2_000)
    seen = await run(graph, [[one] for one in writes])
    assert seen["applied"] + seen["newer"] == len(writes)
    await assert_exact(graph, writes)


@pytest.mark.timeout(300)
async def test_eight_writers_with_batches(graph):
    """I8 in batches: the same, eight memories of one transaction at a time. Guard: locks in key order, then counts."""
    writes = program(random.Random(SEED + 1), 1_000)
    batches = [list({one.id: one for one in writes[i : i + 8]}.values()) for i in range(0, len(writes), 8)]
    await run(graph, batches)
    await assert_exact(graph, [one for batch in batches for one in batch])


async def test_the_last_mentions_go_at_once(graph):
    """I8: two memories that let go of an entity at the same time leave no orphan. Guard: the remover's lock."""
    version = 0
    for _ in range(20):
        version += 2
        await graph.apply([write(memory_id, version, ["shared"]) for memory_id in IDS[:4]], timeout=30)
        rng, seen = random.Random(version), Counter()
        await asyncio.gather(*[persist(graph, [delete(m, version + 1)], seen, rng) for m in IDS[:4]])
        assert (await in_the_store(graph))["entities"] == 0


async def test_no_stale_writer_wins_a_race(graph):
    """I3: of racing versions of one memory the highest stays. Guard: the memory's lock before its version is read."""
    for n in range(30):
        memory_id, rng, seen = f"race {n}", random.Random(SEED + n), Counter()
        versions = rng.sample(range(1, 100), WRITERS)
        await graph.apply([write(memory_id, 0, ["start"])], timeout=30)
        racing = [write(memory_id, v, [f"v{v}"]) if v % 3 else delete(memory_id, v) for v in versions]
        await asyncio.gather(*[persist(graph, [one], seen, rng) for one in racing])
        (left,) = (await graph.read([Key("u", memory_id)])).values()
        top = max(versions)
        assert (left.version, left.live) == (top, bool(top % 3))
        assert [entity.name for entity in left.entities] == ([f"v{top}"] if top % 3 else [])
    assert (await in_the_store(graph))["orphans"] == 0


async def test_a_write_reads_the_version_once_it_has_the_node(clean_neo4j: str) -> None:
    """I3: a write that waits for another one finds the version which that one left. Guard: the memory's lock first."""
    graph = Neo4jGraph(clean_neo4j)
    await graph.open()
    await graph.apply([write("m", 1, ["start"])], timeout=30)
    with neo4j_driver(clean_neo4j) as driver, driver.session() as session, driver.session() as watcher:
        with session.begin_transaction() as rival:
            rival.run("MATCH (m:DiptychMemory {user_id: 'u', id: 'm'}) SET m.version = 9").consume()
            late = asyncio.create_task(graph.apply([write("m", 5, ["late"])], timeout=30))
            await until(lambda: _waits(watcher), what="for a write that is blocked by another one")
            rival.commit()
        (ack,) = await late
    assert (ack.verdict, ack.version) == (Verdict.NEWER, 9)
    await graph.close()


async def _waits(watcher: Session) -> bool:
    query = "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked by' RETURN count(*) AS number"
    return bool(watcher.run(query).single(strict=True)["number"])


async def test_racing_first_writers_make_one_node(graph):
    """Eight first writes of one memory make one node and one fragment. Guard: the uniqueness constraint."""
    for n in range(12):
        seen, rng = Counter(), random.Random(n)
        racing = [write(f"new {n}", v, ["Ada", f"only {v}"]) for v in range(1, WRITERS + 1)]
        await asyncio.gather(*[persist(graph, [one], seen, rng) for one in racing])
        (left,) = (await graph.read([Key("u", f"new {n}")])).values()
        assert (left.version, len(left.entities), len(left.edges)) == (WRITERS, 2, 1)
    assert (await graph.counts(None)).memories == 12


async def test_collecting_races_with_resurrection(graph):
    """A tombstone that comes to life while it is collected stays alive, or is made anew: never lost, never doubled."""
    for n in range(20):
        seen, rng = Counter(), random.Random(n)
        await graph.apply([delete("m", 3 * n + 1)], timeout=30)
        alive = persist(graph, [write("m", 3 * n + 2, ["Ada"])], seen, rng)
        collecting = graph.collect([Tombstone("u", "m", 3 * n + 1)])
        await asyncio.gather(alive, collecting)
        (left,) = (await graph.read([Key("u", "m")])).values()
        assert (left.version, left.live, len(left.entities)) == (3 * n + 2, True, 1)
