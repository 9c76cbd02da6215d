"""``related``: what is reached over shared entities and relationships."""

from __future__ import annotations

import pytest

from persistence.ports.graph import GraphHit


@pytest.fixture
async def chain(apply, say):
    """Make a small world: start - Ada - KNOWS - Bob - KNOWS - Eve, a memory at each, and another tenant's like it."""
    for user in ("u1", "u2"):
        await apply(
            say("start", 1, [("Ada", "Person"), ("Lab", "Org")], user=user),
            say("at-ada", 1, [("ADA", "Person")], user=user),
            say("at-both", 1, [("Ada", "Person"), ("Lab", "Org")], user=user),
            say("link-1", 1, [("Ada", "Person"), ("Bob", "Person")], [("Ada", "KNOWS", "Bob")], user=user),
            say("at-bob", 1, [("Bob", "Person")], user=user),
            say("link-2", 1, [("Eve", "Person"), ("Bob", "Person")], [("Eve", "KNOWS", "Bob")], user=user),
            say("at-eve", 2, [("Eve", "Person")], user=user),
            say("alone", 1, [("Zoe", "Person")], user=user),
        )


async def test_depth_one_shares_an_entity(graph, chain):
    """At depth 1 stand the memories that share an entity, the most shared first, then by id; the start is left out."""
    assert await graph.related("u1", ["start"], depth=1, limit=10) == [
        GraphHit("at-both", 1, 2, (("Org", "Lab"), ("Person", "Ada"))),
        GraphHit("at-ada", 1, 1, (("Person", "Ada"),)),
        GraphHit("link-1", 1, 1, (("Person", "Ada"),)),
    ]


async def test_each_relationship_adds_one(graph, chain):
    """Every relationship walked, in either direction, adds one to the distance."""
    hits = await graph.related("u1", ["start"], depth=3, limit=10)
    assert [(hit.memory_id, hit.distance) for hit in hits[3:]] == [("at-bob", 2), ("link-2", 2), ("at-eve", 3)]
    assert hits[-1].via == (("Person", "Eve"),)


async def test_the_limit_cuts_in_order(graph, chain):
    """The limit keeps the first in the order of distance, most shared, id, at every length."""
    everything = await graph.related("u1", ["start"], depth=3, limit=100)
    for limit in range(len(everything) + 1):
        assert await graph.related("u1", ["start"], depth=3, limit=limit) == everything[:limit]


async def test_several_starts(graph, chain):
    """Several starts are one frontier; none of them is in the answer."""
    hits = await graph.related("u1", ["at-eve", "at-ada", "at-ada"], depth=1, limit=10)
    assert {hit.memory_id for hit in hits} == {"start", "at-both", "link-1", "link-2"}


async def test_deleted_and_unknown_starts_lead_nowhere(graph, chain, apply, forget):
    """What is not live is no start, and is reached from nowhere."""
    await apply(forget("at-both", 2), forget("link-1", 2))
    assert await graph.related("u1", ["at-both", "nobody"], depth=3, limit=10) == []
    hits = await graph.related("u1", ["start"], depth=3, limit=10)
    assert [hit.memory_id for hit in hits] == ["at-ada"]


async def test_walks_stay_within_the_tenant(graph, apply, say):
    """I9: a walk never crosses to another tenant. Guard: the tenant in every match of the walk."""
    await apply(say("m", 1, [("Ada", "P")], user="u1"), say("n", 1, [("Ada", "P")], user="u2"))
    assert await graph.related("u1", ["m"], depth=4, limit=10) == []
    assert await graph.related("u1", ["n"], depth=4, limit=10) == []


async def test_nothing_asked_for(graph, chain):
    """No start, no depth or no room gives nothing."""
    assert await graph.related("u1", [], depth=2, limit=10) == []
    assert await graph.related("u1", ["start"], depth=0, limit=10) == []
    assert await graph.related("u1", ["start"], depth=2, limit=0) == []


async def test_via_names_the_first_three(graph, apply, say):
    """``via`` names the first three shared entities in the order of (type, key); ``shared`` counts them all."""
    many = [(name, kind) for name in ("b", "a", "c") for kind in ("Y", "X")]
    await apply(say("m", 1, many), say("n", 1, many))
    assert await graph.related("u1", ["m"], depth=1, limit=5) == [
        GraphHit("n", 1, 6, (("X", "a"), ("X", "b"), ("X", "c")))
    ]


async def test_a_hub_is_looked_at_in_part(graph, apply, say):
    """At an entity that thousands mention, a thousand are looked at, and the walk stays bounded."""
    await apply(*[say(f"m{i:04}", 1, [("Hub", "T")]) for i in range(1_300)])
    hits = await graph.related("u1", ["m0000"], depth=1, limit=5_000)
    assert 999 <= len(hits) <= 1_000


async def test_who_mentions_an_entity(graph, chain, apply, forget):
    """Live memories that mention an entity are listed in the order of their ids, up to the limit."""
    assert await graph.mentioning("u1", ("Person", "ada"), limit=10) == ["at-ada", "at-both", "link-1", "start"]
    assert await graph.mentioning("u1", ("Person", "ada"), limit=2) == ["at-ada", "at-both"]
    await apply(forget("at-both", 2))
    assert await graph.mentioning("u1", ("Person", "ada"), limit=2) == ["at-ada", "link-1"]
    assert await graph.mentioning("u1", ("Person", "nobody"), limit=10) == []


async def test_mentions_stay_within_the_tenant(graph, apply, say):
    """I9: who mentions an entity is asked within one tenant. Guard: the tenant in the match of the entity."""
    await apply(say("m", 1, [("Ada", "P")], user="u1"), say("n", 1, [("Ada", "P")], user="u2"))
    assert await graph.mentioning("u1", ("P", "ada"), limit=10) == ["m"]
    assert await graph.mentioning("u3", ("P", "ada"), limit=10) == []


async def test_a_hub_is_listed_in_part(graph, apply, say):
    """Of an entity that thousands mention, a thousand are looked at, whatever the limit."""
    await apply(*[say(f"m{i:04}", 1, [("Hub", "T")]) for i in range(1_300)])
    found = await graph.mentioning("u1", ("T", "hub"), limit=5_000)
    assert 999 <= len(found) <= 1_000
    assert found == sorted(found)
