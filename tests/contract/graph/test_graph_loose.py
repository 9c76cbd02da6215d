"""Torn memories and loose ends: a graph that only ever was written through its port has none."""

from __future__ import annotations

import random

import pytest

from persistence.graph.memory import MemoryGraph
from persistence.ports.checking import EVERYTHING, EntityPage, OrphanEntity, Span, StrayEdge
from persistence.ports.graph import GraphStore, GraphWrite
from persistence.ports.outbox import Key

USERS = ("u1", "u2")
IDS = [*"abcdefgh", "😀"]
NAMES = ["Ada", "Bob", "Eve", "Straße", "😀", "\uffee", "`"]
TYPES = ["Person", "Org", "\uffee", "😀"]
RELATIONS = ["KNOWS", "LIKES", "a`b"]


class Programme:
    """Random batches of writes, updates and deletes, their versions growing as those of a real truth."""

    def __init__(self, seed: int, say, forget) -> None:
        self.rng = random.Random(seed)
        self.version = 0
        self._say = say
        self._forget = forget

    def batch(self) -> list[GraphWrite]:
        keys = [(user, memory_id) for user in USERS for memory_id in IDS]
        return [self.write(*key) for key in self.rng.sample(keys, self.rng.randint(1, 8))]

    def write(self, user: str, memory_id: str) -> GraphWrite:
        rng = self.rng
        self.version += rng.randint(0, 2)
        force = rng.random() < 0.2
        if rng.random() < 0.25:
            return self._forget(memory_id, self.version, user=user, force=force)
        names = rng.sample(NAMES, rng.randint(0, 4))
        entities = [(name, rng.choice(TYPES)) for name in names]
        relations = [
            (rng.choice(names), rng.choice(RELATIONS), rng.choice(names), {"p": rng.randint(0, 2)})
            for _ in range(rng.randint(0, 4))
            if names
        ]
        return self._say(memory_id, self.version, entities, relations, user=user, force=force)


async def whole(graph: GraphStore, user_id: str | None, limit: int = 1_000) -> tuple[int, list, list]:
    """Return what all pages of loose ends say together."""
    seen, edges, orphans, after = 0, [], [], None
    while True:
        page = await graph.loose_ends(user_id, after=after, limit=limit)
        seen, edges, orphans = seen + page.seen, [*edges, *page.edges], [*orphans, *page.orphans]
        if page.after is None:
            return seen, edges, orphans
        after = page.after


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_torn_or_loose_after_any_writes(graph, say, forget, seed):
    """After each batch of a random program every memory owns what it remembers, and nothing belongs to nobody."""
    programme = Programme(seed, say, forget)
    for step in range(12):
        await graph.apply(programme.batch(), timeout=60)
        for user_id in (None, *USERS):
            assert await graph.torn(user_id, EVERYTHING, limit=100) == [], f"seed {seed}, step {step}"
            assert (await whole(graph, user_id))[1:] == ([], []), f"seed {seed}, step {step}"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_entities_pass_each_one_once(graph, say, limit):
    """Pages of any size, of one tenant or of all, see every entity once, in the order of code points."""
    entities = [(name, kind) for name, kind in zip(NAMES, TYPES * 2, strict=False)]
    await graph.apply([say("m", 1, entities), say("m", 1, entities[:3], user="u2")], timeout=60)
    assert (await whole(graph, "u1", limit))[0] == len(entities)
    assert (await whole(graph, "u2", limit))[0] == 3
    assert (await whole(graph, None, limit))[0] == len(entities) + 3
    listed = [(entity.type, entity.key) for entity in await graph.entities("u1", after=None, limit=100)]
    page = await graph.loose_ends("u1", after=None, limit=2)
    assert page.after == ("u1", *listed[1])


async def test_a_page_of_nobody(graph):
    """A tenant without entities has one empty page."""
    assert await graph.loose_ends("nobody", after=None, limit=10) == EntityPage(0, (), (), None)
    assert await graph.torn("nobody", Span(0, 1 << 20), limit=10) == []


async def test_what_is_not_loose_is_not_cut(graph, say):
    """A relationship or an entity that someone owns is neither still loose nor cut, whoever says it was loose."""
    await graph.apply([say("m", 1, [("Ada", "Person"), ("Bob", "Person")], [("Ada", "KNOWS", "Bob")])], timeout=60)
    before = await graph.entities("u1", after=None, limit=10)
    for edge, entity in await handles(graph):
        edges, orphans = [StrayEdge(edge, "u1", "m", "KNOWS")], [OrphanEntity(entity, "u1", "Person", "ada")]
        assert await graph.still_loose(edges, orphans) == ([], [])
        assert await graph.cut_loose(edges, orphans) == 0
    assert await graph.entities("u1", after=None, limit=10) == before
    assert await graph.torn(None, EVERYTHING, limit=10) == []


async def handles(graph: GraphStore) -> list[tuple[str, str]]:
    """Return names by which a graph could mean an edge and an entity that are there."""
    if isinstance(graph, MemoryGraph):
        return [(handle, handle) for handle in ('["Person", "ada", "m", 0]', '["Person", "ada", "m", null]')]
    if graph.kind == "neo4j":
        rows = await graph._connection.run(
            "MATCH (a:DiptychEntity)-[r]->() RETURN id(a) AS id UNION MATCH (:DiptychEntity)-[r]->() RETURN id(r) AS id"
        )
        return [(str(row["id"]), str(row["id"])) for row in rows]
    async with graph._sessions.use() as connection:
        rows = await (await connection.execute("SELECT memory || ':' || position, source::text FROM edges")).fetchall()
    return [tuple(row) for row in rows]


async def test_cutting_nothing(graph):
    """Nothing to look at again, nothing to cut."""
    assert await graph.still_loose([], []) == ([], [])
    assert await graph.cut_loose([], []) == 0


async def damaged(say) -> tuple[MemoryGraph, dict]:
    """Return a graph in memory that is in step, and its entities, for a test to do harm to."""
    graph = MemoryGraph()
    entities = [("Ada", "Person"), ("Bob", "Person")]
    await graph.apply([say(m, 1, entities, [("Ada", "KNOWS", "Bob")]) for m in "mn"], timeout=60)
    return graph, graph._tenants["u1"].entities


@pytest.mark.parametrize("harm", ["a mention gone", "a link gone", "a link elsewhere", "an entity gone"])
async def test_a_mistake_in_memory_tears_a_memory(say, harm):
    """What a memory's fragment owns and its entities do not hold is found, and that memory alone."""
    graph, entities = await damaged(say)
    ada, bob = entities["Person", "ada"], entities["Person", "bob"]
    match harm:
        case "a mention gone":
            del ada.mentions["m"]
        case "a link gone":
            del bob.links["m", 0]
        case "a link elsewhere":
            ada.links["m", 0] = ("Person", "eve")
        case "an entity gone":
            await graph.apply([say("m", 2, [("Eve", "Person")])], timeout=60)
            del entities["Person", "eve"]
    assert await graph.torn(None, EVERYTHING, limit=10) == [Key("u1", "m")]


async def test_a_mistake_in_memory_leaves_loose_ends(say, forget):
    """Mentions and links of memories that do not own them, and entities of nobody, are found and cut, and only they."""
    graph, entities = await damaged(say)
    await graph.apply([forget("dead", 1), say("lone", 2, [("Eve", "Person")])], timeout=60)
    ada = entities["Person", "ada"]
    before = (dict(ada.mentions), dict(ada.links))
    ada.mentions["dead"] = None
    ada.links["nobody", 0] = ada.links["m", 7] = ("Person", "bob")
    entities["Person", "eve"].mentions.clear()
    for limit in (1, 10):
        _, edges, orphans = await whole(graph, "u1", limit)
        assert sorted(edge.memory_id for edge in edges) == ["dead", "m", "nobody"]
        assert [(orphan.type, orphan.key) for orphan in orphans] == [("Person", "eve")]
    assert await graph.still_loose(edges, orphans) == (edges, orphans)
    assert await graph.cut_loose(edges, orphans) == 4
    assert (ada.mentions, ada.links) == before
    assert sorted(entities) == [("Person", "ada"), ("Person", "bob")]
    assert await graph.cut_loose(edges, orphans) == 0


async def test_an_entity_in_memory_goes_with_its_last_loose_end(say):
    """What only a loose end held goes with it."""
    graph, entities = await damaged(say)
    await graph.apply([say("lone", 1, [("Eve", "Person")])], timeout=60)
    del graph._tenants["u1"].memories["lone"]
    _, edges, orphans = await whole(graph, None)
    assert await graph.cut_loose(edges, orphans) == 1
    assert ("Person", "eve") not in entities
