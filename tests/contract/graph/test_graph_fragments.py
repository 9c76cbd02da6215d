"""What a memory owns: entities, mentions, relationships, their properties; whose they are, and when they go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from operator import attrgetter

import pytest

from persistence.ports.graph import GraphCounts, GraphEdge, GraphEntity
from persistence.ports.outbox import Key

M = Key("u1", "m")

STRANGE = [
    "`",
    "``",
    "A`) DETACH DELETE n //",
    "R`]->() DELETE r //",
    "'\"\\",
    "\\u0060",
    "{x: 1}",
    "$name",
    "a b\tc\nd",
    ":Memory",
    "naïve Ωmega 漢字",
    "😀 \uffee",
    "-1",
    "true",
    "x" * 255,
]
VALUES = {
    "text": "it's",
    "empty": "",
    "int": -(2**63),
    "big": 2**63 - 1,
    "float": 0.1,
    "whole": 2.0,
    "tiny": 5e-324,
    "true": True,
    "false": False,
    "none of it": [],
    "texts": ["a", "", "ö"],
    "ints": [1, 2, -3],
    "floats": [1.5, 2.0],
    "bools": [True, False],
    "with `tick` and 'quote' and \"two\"": "x",
    "type": "t",
    "id": "i",
    "version": 3,
    "name": "n",
}


async def names(graph, user="u1"):
    return [entity.name for entity in await graph.entities(user, after=None, limit=1_000)]


async def test_what_is_written_is_read(graph, apply, say):
    """A memory is read back with everything the graph holds of it, in sorted order."""
    write = say(
        "m",
        4,
        [("Babbage  & Co.", "Org", {"since": 1833}), ("Ada", "Person")],
        [("Ada", "WORKS_AT", "babbage & co.", {"as": "analyst"}), ("Ada", "ADMIRES", "Ada")],
        text="Ada works  at\tBabbage & Co.\nand so on",
        agent_id="agent",
        run_id="run",
    )
    await apply(write)
    read = (await graph.read([M]))[M]
    ada, firm = ("Person", "ada"), ("Org", "babbage & co.")
    assert (read.user_id, read.id, read.version, read.live) == ("u1", "m", 4, True)
    assert (read.digest, read.bucket) == (write.fragment.digest, write.bucket)
    assert (read.caption, read.agent_id, read.run_id) == ("Ada works at Babbage & Co.", "agent", "run")
    assert read.created_at == datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    assert read.entities == (GraphEntity(*firm, "Babbage  & Co.", {"since": 1833}), GraphEntity(*ada, "Ada", {}))
    assert read.edges == (
        GraphEdge(ada, "ADMIRES", ada, {}, "m"),
        GraphEdge(ada, "WORKS_AT", firm, {"as": "analyst"}, "m"),
    )


async def test_a_memory_without_entities(graph, apply, say):
    """A memory that mentions nothing is a node alone."""
    await apply(say("m", 1))
    read = (await graph.read([M]))[M]
    assert (read.entities, read.edges, read.agent_id) == ((), (), None)


async def test_what_is_not_there_is_not_in_the_answer(graph, apply, say):
    """Reading names the memories that are there, each once, and leaves out the rest."""
    await apply(say("m", 1))
    assert set(await graph.read([M, Key("u1", "other"), M])) == {M}
    assert await graph.read([]) == {}


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(2024, 7, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
)
async def test_times_keep_their_microseconds(graph, apply, say, moment):
    """A time of creation comes back as it was, before 1970 too."""
    await apply(replace(say("m", 1), created_at=moment))
    assert (await graph.read([M]))[M].created_at == moment


async def test_a_replacement_replaces_everything(graph, apply, say):
    """What the memory owned before and does not own now is gone, entities included."""
    await apply(
        say("m", 1, [("Ada", "Person", {"x": 1}), ("Grace", "Person")], [("Ada", "KNOWS", "Grace")], agent_id="a")
    )
    await apply(say("m", 2, [("Ada", "Person", {"y": 2}), ("Navy", "Org")], [("Ada", "KNOWS", "Navy")]))
    read = (await graph.read([M]))[M]
    assert read.agent_id is None
    assert [(e.key, e.properties) for e in read.entities] == [("navy", {}), ("ada", {"y": 2})]
    assert [edge.target for edge in read.edges] == [("Org", "navy")]
    assert await names(graph) == ["Navy", "Ada"]


async def test_statements_that_differ_in_properties_are_two(graph, apply, say):
    """Two relationships of one type between the same ends stay two, and go as two."""
    relations = [("Ada", "MET", "Grace", {"year": 1}), ("Ada", "MET", "Grace", {"year": 2}), ("Grace", "MET", "Ada")]
    await apply(say("m", 1, [("Ada", "Person"), ("Grace", "Person")], relations))
    assert len((await graph.read([M]))[M].edges) == 3
    await apply(say("m", 2, [("Ada", "Person"), ("Grace", "Person")], relations[:1]))
    assert [edge.properties for edge in (await graph.read([M]))[M].edges] == [{"year": 1}]


async def test_a_shared_entity_survives_its_first_memory(graph, apply, say, forget):
    """I8: an entity goes when its last mention goes, and not before. Guard: the count of what is left at it."""
    await apply(say("m", 1, [("Ada", "Person")]), say("n", 1, [("ADA", "Person")]))
    assert len(await names(graph)) == 1
    await apply(forget("m", 2))
    assert len(await names(graph)) == 1
    await apply(forget("n", 2))
    assert await names(graph) == []


async def test_one_batch_moves_an_entity_from_memory_to_memory(graph, apply, say, forget):
    """An entity that one write of a batch lets go and another takes up stays, with its newest name."""
    await apply(say("m", 1, [("Ada", "Person"), ("Grace", "Person")]))
    await apply(forget("m", 2), say("n", 1, [("ada", "Person")]))
    assert await names(graph) == ["ada"]


async def test_the_statements_of_others_stay(graph, apply, say, forget):
    """A memory's replacement and delete leave the equal statements of other memories alone."""
    facts = ([("Ada", "Person"), ("Grace", "Person")], [("Ada", "KNOWS", "Grace")])
    await apply(say("m", 1, *facts), say("n", 1, *facts))
    await apply(say("m", 2, facts[0]))
    await apply(forget("m", 3))
    n = Key("u1", "n")
    assert [edge.memory_id for edge in (await graph.read([n]))[n].edges] == ["n"]


async def test_the_newest_writer_names_the_entity(graph, apply, say):
    """The display name is the one of the newest write, in one batch and across batches."""
    await apply(say("b", 1, [("ada", "Person")]), say("a", 2, [("Ada", "Person")]))
    assert await names(graph) == ["Ada"]
    await apply(say("c", 3, [("ADA", "Person")]))
    assert await names(graph) == ["ADA"]


async def test_types_hold_any_character(graph, apply, say, forget):
    """A type with backticks, quotes, braces or code in it is a name like any other, and breaks out of nothing."""
    await apply(say("bystander", 1, [("Eve", "Person")]))
    for n, strange in enumerate(STRANGE):
        relations = [("Ada", strange, "Bob", {"p": 1}), ("Bob", "KNOWS", "Ada")]
        await apply(say("m", 2 * n, [("Ada", strange), ("Bob", "Person")], relations))
        read = (await graph.read([M]))[M]
        assert {entity.type for entity in read.entities} == {strange, "Person"}
        assert {edge.type for edge in read.edges} == {strange, "KNOWS"}
        await apply(forget("m", 2 * n + 1))
        assert (await graph.read([M]))[M].edges == ()
        assert await names(graph) == ["Eve"]


async def test_ids_and_names_hold_any_character(graph, apply, say):
    """Ids, tenants and names are data wherever they go."""
    for strange in STRANGE:
        await apply(say(strange, 1, [(strange, "Person")], user=strange, agent_id=strange, text=strange))
        key = Key(strange, strange)
        read = (await graph.read([key]))[key]
        assert (read.id, read.agent_id, read.entities[0].name) == (strange, strange, strange)
        assert await graph.counts(strange) == GraphCounts(1, 0, 1)


async def test_property_values_come_back_as_they_were(graph, apply, say):
    """Scalars and lists of one kind keep their value and type, on mentions and on relationships."""
    await apply(say("m", 1, [("Ada", "P", VALUES), ("Bob", "P")], [("Ada", "KNOWS", "Bob", VALUES)]))
    read = (await graph.read([M]))[M]
    for found in (read.entities[0].properties, read.edges[0].properties):
        assert found == VALUES
        assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in VALUES.items()}


async def test_tenants_are_walls(graph, apply, say, forget):
    """I9: the same id and the same entity under two tenants are two of each. Guard: the tenant in every key."""
    facts = ([("Ada", "Person"), ("Bob", "Person")], [("Ada", "KNOWS", "Bob")])
    await apply(say("m", 1, *facts, user="u1"), say("m", 5, *facts, user="u2"))
    assert await graph.counts("u1") == await graph.counts("u2") == GraphCounts(1, 0, 2)
    assert await graph.counts(None) == GraphCounts(2, 0, 4)
    assert await apply(forget("m", 2, user="u1")) == [("applied", 2)]
    other = (await graph.read([Key("u2", "m")]))[Key("u2", "m")]
    assert (other.version, len(other.entities), len(other.edges)) == (5, 2, 1)
    assert await graph.entities("u1", after=None, limit=9) == []
    assert await graph.counts("u3") == GraphCounts(0, 0, 0)


async def test_counts_stop_at_the_bound(graph, apply, say, forget):
    """Memories and tombstones are counted exactly up to the bound, entities too; what is beyond is no exact number."""
    await apply(*[say(f"m{i}", 1, [(f"e{i}", "T")]) for i in range(6)], forget("gone", 1), say("other", 1, user="u2"))
    assert await graph.counts("u1", bound=7) == GraphCounts(6, 1, 6)
    for user, there in (("u1", 6), (None, 7)):
        few = await graph.counts(user, bound=3)
        # Whoever keeps the number may say it whole; nobody may say that what he did not count is not there.
        assert (few.memories == there and few.entities == 6) if few.exact else (few.entities is None)
        assert few.memories >= 2
    assert not (await graph.counts("u1", bound=6)).exact


async def test_entities_come_in_pages(graph, apply, say):
    """A tenant's entities are listed in the order of (type, key), code point by code point, page by page."""
    people = [(name, kind) for name in ("b", "a", "\uffee", "😀", "ä", "z") for kind in ("T", "S", "\U0001f600")]
    await apply(say("m", 1, people), say("other", 1, [("zzz", "T")], user="u2"))
    found, after = [], None
    while page := await graph.entities("u1", after=after, limit=5):
        found += page
        after = (page[-1].type, page[-1].key)
    keys = [(entity.type, entity.key) for entity in found]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) == 18
    assert sorted(map(attrgetter("name"), found[:6])) == sorted(["b", "a", "z", "ä", "😀", found[4].name])


async def test_a_large_batch(graph, apply, say):
    """Hundreds of memories in one batch, their entities shared, come in and come back whole."""
    writes = [
        say(f"m{i:03}", i + 1, [(f"e{i % 7}", "T"), (f"f{i}", "T")], [(f"e{i % 7}", "R", f"f{i}")]) for i in range(300)
    ]
    assert await apply(*reversed(writes)) == [("applied", i + 1) for i in reversed(range(300))]
    read = await graph.read([Key("u1", write.id) for write in writes])
    assert all(len(memory.edges) == 1 and len(memory.entities) == 2 for memory in read.values())
    assert await graph.counts("u1") == GraphCounts(300, 0, 307)
