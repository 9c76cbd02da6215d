"""Which write wins: versions, tombstones, repeats, force, expiry."""

from __future__ import annotations

import pytest

from persistence.errors import GraphStoreError, GraphWriteExpiredError
from persistence.ports.graph import GraphCounts
from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone

M = Key("u1", "m")


async def test_a_newer_version_is_applied(graph, apply, say):
    """A write with a higher version than the graph has is applied."""
    await apply(say("m", 1, text="first"))
    assert await apply(say("m", 2, text="second")) == [("applied", 2)]
    assert (await graph.read([M]))[M].caption == "second"


async def test_an_older_version_touches_nothing(graph, apply, say):
    """I3: a write with a lower version than the graph has seen is a no-op. Guard: the verdict's version comparison."""
    await apply(say("m", 5, [("Ada", "Person")]))
    before = await graph.read([M])
    assert await apply(say("m", 4, [("Grace", "Person"), ("Navy", "Org")])) == [("newer", 5)]
    assert await graph.read([M]) == before
    assert [entity.name for entity in await graph.entities("u1", after=None, limit=9)] == ["Ada"]


async def test_the_same_again_is_the_same(graph, apply, say):
    """I4: repeating a write answers ``same`` and changes nothing. Guard: the digest comparison at equal versions."""
    write = say("m", 1, [("Ada", "Person"), ("Babbage", "Person")], [("Ada", "KNOWS", "Babbage")])
    await apply(write)
    before = await graph.read([M])
    assert await apply(write) == [("same", 1)]
    assert await graph.read([M]) == before


async def test_other_content_at_the_same_version_is_applied(graph, apply, say):
    """A live node accepts its own version where the digest differs."""
    await apply(say("m", 1, [("Ada", "Person")]))
    assert await apply(say("m", 1, [("Grace", "Person")])) == [("applied", 1)]
    assert [entity.name for entity in (await graph.read([M]))[M].entities] == ["Grace"]


async def test_force_writes_anew(apply, say):
    """With ``force`` the version that is there is written again; an older one still is not."""
    await apply(say("m", 2))
    assert await apply(say("m", 2, force=True)) == [("applied", 2)]
    assert await apply(say("m", 1, force=True)) == [("newer", 2)]


async def test_a_delete_leaves_a_bare_tombstone(graph, apply, say, forget):
    """After a delete only tenant, id, version and bucket are left, and nothing of the content."""
    await apply(say("m", 1, [("Ada", "Person")], agent_id="a", run_id="r"))
    assert await apply(forget("m", 2)) == [("applied", 2)]
    left = (await graph.read([M]))[M]
    assert (left.version, left.live, left.bucket) == (2, False, forget("m", 2).bucket)
    assert (left.digest, left.caption, left.agent_id, left.run_id, left.created_at) == (None,) * 5
    assert (left.entities, left.edges) == ((), ())
    assert await graph.counts("u1") == GraphCounts(0, 1, 0)


async def test_a_delete_accepts_the_version_that_is_there(apply, say, forget):
    """A live node is deleted at its own version; the repeat is the same."""
    await apply(say("m", 3))
    assert await apply(forget("m", 3)) == [("applied", 3)]
    assert await apply(forget("m", 3)) == [("same", 3)]
    assert await apply(forget("m", 2)) == [("newer", 3)]
    assert await apply(forget("m", 4)) == [("applied", 4)]


async def test_a_stale_writer_does_not_resurrect(graph, apply, say, forget):
    """I5: a tombstone accepts only higher versions. Guard: ``row live and not live -> newer`` at equal versions."""
    await apply(say("m", 3), forget("n", 3))
    await apply(forget("m", 3))
    assert await apply(say("m", 3, [("Ada", "Person")]), say("n", 2)) == [("newer", 3), ("newer", 3)]
    assert await apply(say("m", 3, force=True)) == [("newer", 3)]
    assert await graph.counts("u1") == GraphCounts(0, 2, 0)


async def test_a_memory_stored_anew_is_live(graph, apply, say, forget):
    """I5: above its tombstone a memory lives again, with all it says."""
    await apply(say("m", 1, [("Ada", "Person")]))
    await apply(forget("m", 2))
    assert await apply(say("m", 3, [("Ada", "Person")])) == [("applied", 3)]
    assert (await graph.read([M]))[M].live
    assert await graph.counts("u1") == GraphCounts(1, 0, 1)


async def test_a_tombstone_stands_for_what_was_never_there(graph, apply, say, forget):
    """A delete that overtakes the write it follows keeps it out."""
    assert await apply(forget("m", 7)) == [("applied", 7)]
    assert await apply(say("m", 6)) == [("newer", 7)]
    assert not (await graph.read([M]))[M].live


async def test_answers_come_in_the_order_given(apply, say, forget):
    """One batch, many verdicts: each stands where its write stood."""
    await apply(say("a", 5), say("b", 5), forget("c", 5))
    answers = await apply(say("z", 1), say("c", 5), say("b", 5), say("a", 4), forget("b0", 2), say("d", 9))
    assert answers == [("applied", 1), ("newer", 5), ("same", 5), ("newer", 5), ("applied", 2), ("applied", 9)]


async def test_a_refused_row_brings_no_entities(graph, apply, say):
    """In a mixed batch, entities and names that only a refused write mentions do not come into being."""
    await apply(say("old", 9), say("keep", 1, [("Ada", "Person")]))
    await apply(say("old", 8, [("Ghost", "Person"), ("ADA", "Person")]), say("new", 1, [("Grace", "Person")]))
    assert [e.name for e in await graph.entities("u1", after=None, limit=9)] == ["Ada", "Grace"]


async def test_a_late_write_is_refused(graph, apply, say):
    """A write whose time has passed is refused and touches nothing. Guard: the comparison with ``not_after``."""
    with pytest.raises(GraphWriteExpiredError):
        await apply(say("m", 1, [("Ada", "Person")]), timeout=0)
    assert await graph.read([M]) == {}
    assert await graph.counts("u1") == GraphCounts(0, 0, 0)


async def test_nothing_to_apply(graph):
    """An empty batch is answered with nothing."""
    assert await graph.apply([], timeout=5) == []


async def test_a_memory_named_twice_is_refused(graph, apply, say):
    """A batch that names a memory twice is refused whole."""
    with pytest.raises(GraphStoreError):
        await apply(say("m", 1), say("n", 1), say("m", 2))
    assert await graph.read([M, Key("u1", "n")]) == {}


async def test_collected_tombstones_are_gone(graph, apply, say, forget):
    """Only nodes that are still tombstones, at no higher version than named, are removed."""
    await apply(forget("a", 1), forget("b", 3), say("c", 1))
    await graph.collect([Tombstone("u1", "a", 1), Tombstone("u1", "b", 2), Tombstone("u1", "c", 9)])
    assert set(await graph.read([Key("u1", x) for x in "abc"])) == {Key("u1", "b"), Key("u1", "c")}
    assert await graph.counts("u1") == GraphCounts(1, 1, 0)
    assert await apply(say("a", 1)) == [("applied", 1)]


async def test_collecting_twice_or_nothing_is_fine(graph, apply, forget):
    """Collecting is idempotent."""
    await apply(forget("a", 1))
    for tombstones in ([Tombstone("u1", "a", 1)], [Tombstone("u1", "a", 1)], []):
        await graph.collect(tombstones)
    assert await graph.counts("u1") == GraphCounts(0, 0, 0)
