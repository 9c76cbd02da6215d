"""What a graph answers to a check and a rebuild: sums, rows, single memories, stamps, and a tenant that is emptied."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace

import pytest

from persistence.errors import GraphWriteExpiredError
from persistence.ports.checking import EVERYTHING, HALF, BucketSum, GraphHead, Head, Span
from persistence.ports.graph import GraphCounts, GraphStore, GraphWrite
from persistence.ports.outbox import Key
from persistence.projection import BUCKET_BITS

SEED = 11
USERS = ("u1", "u2", "😀")
#: Halves of a bucket's range, its first sixteenth, and one of no round size.
SPANS = (EVERYTHING, Span(0, 1 << 23), Span(1 << 23, 1 << 24), Span(0, 1 << 20), Span(3 << 19, 5 << 21))
#: Microseconds since 1970, so that the upper halves of versions are not 0.
NOW = 1_790_000_000_000_000


@pytest.fixture
async def written(graph: GraphStore, say, forget) -> list[GraphWrite]:
    """Write memories of three tenants, some of them deleted since; return those that live."""
    rng = random.Random(SEED)
    live = [
        say(f"m{n}", NOW + rng.randint(0, 10**9), [("Ada", "Person")], user=rng.choice(USERS), text=str(n))
        for n in range(150)
    ]
    gone = live[:20]
    await graph.apply(live, timeout=60)
    await graph.apply([forget(w.id, w.version + 1, user=w.user_id) for w in gone], timeout=60)
    return live[20:]


def summed(writes: Iterable[GraphWrite], user_id: str | None, span: Span, bits: int) -> dict[int, BucketSum]:
    """Return the sums as they ought to be."""
    rows: dict[int, list[Head]] = {}
    for row in heads_of(writes, user_id, [span]):
        rows.setdefault(bucket_of(writes, row.key) >> (BUCKET_BITS - bits), []).append(row)
    return {prefix: sum_of(same) for prefix, same in rows.items()}


def sum_of(rows: Sequence[Head]) -> BucketSum:
    return BucketSum(
        len(rows),
        sum(row.digest // HALF for row in rows),
        sum(row.digest % HALF for row in rows),
        sum(row.version // HALF for row in rows),
        sum(row.version % HALF for row in rows),
    )


def heads_of(writes: Iterable[GraphWrite], user_id: str | None, spans: Sequence[Span]) -> list[Head]:
    return [
        Head(w.user_id, w.id, w.fragment.digest, w.version)
        for w in writes
        if user_id in {None, w.user_id} and any(low <= w.bucket < high for low, high in spans)
    ]


def bucket_of(writes: Iterable[GraphWrite], key: Key) -> int:
    return next(w.bucket for w in writes if Key(w.user_id, w.id) == key)


@pytest.mark.parametrize("user_id", [None, *USERS, "nobody"])
@pytest.mark.parametrize("bits", [0, 1, 6, 12, 24])
async def test_sums_are_those_of_what_was_written(graph, written, user_id, bits):
    """Count and sums of halves per prefix, of all or of one tenant, are exact; tombstones are in none of them."""
    for span in SPANS:
        expected = summed(written, user_id, span, bits)
        assert expected == await graph.bucket_sums(user_id, span, bits=bits), span


async def test_a_sum_of_halves_stays_a_whole_number(graph, say):
    """The largest digests and versions there can be are summed without a rounding."""
    writes = [say(f"m{n}", 2**53 - 1) for n in range(300)]
    writes = [replace(w, fragment=replace(w.fragment, digest=2**63 - 1)) for w in writes]
    await graph.apply(writes, timeout=60)
    (found,) = (await graph.bucket_sums(None, EVERYTHING, bits=0)).values()
    assert sum_of(heads_of(writes, None, [EVERYTHING])) == found
    assert {type(number) for number in astuple(found)} == {int}


@pytest.mark.parametrize("user_id", [None, "u1", "nobody"])
async def test_rows_are_those_of_the_spans(graph, written, user_id):
    """Each live memory of a span comes once, and none of another tenant; no span, no row."""
    for spans in ([EVERYTHING], [Span(0, 1 << 22), Span(3 << 22, 1 << 24)], [Span(0, 0)], []):
        found = await graph.bucket_rows(user_id, spans)
        assert sorted(heads_of(written, user_id, spans)) == sorted(found), spans


async def test_rows_of_many_small_spans(graph, written):
    """A hundred spans of one bucket each find exactly the memories in these buckets."""
    buckets = sorted(w.bucket for w in written)[:100]
    found = await graph.bucket_rows(None, [Span(bucket, bucket + 1) for bucket in buckets])
    assert sorted(heads_of(written, None, [Span(0, buckets[-1] + 1)])) == sorted(found)


async def test_a_sum_and_its_rows_agree(graph, written):
    """What the rows of a prefix add up to is the sum of that prefix, so that a comparison of either finds the same."""
    width = 1 << (BUCKET_BITS - 4)
    for prefix, expected in (await graph.bucket_sums("u2", EVERYTHING, bits=4)).items():
        rows = await graph.bucket_rows("u2", [Span(prefix * width, (prefix + 1) * width)])
        assert expected == sum_of(rows)


async def test_heads(graph, say, forget):
    """A head says version, digest and whether the memory is live; a tombstone has no digest, a stranger no head."""
    write = say("m", 5, [("Ada", "Person")])
    await graph.apply([write, forget("gone", 7), say("m", 9, user="u2")], timeout=60)
    keys = [Key("u1", "m"), Key("u1", "gone"), Key("u1", "never"), Key("u1", "m")]
    assert await graph.heads(keys) == {
        Key("u1", "m"): GraphHead(5, write.fragment.digest, live=True),
        Key("u1", "gone"): GraphHead(7, None, live=False),
    }
    assert await graph.heads([]) == {}


async def walked(graph: GraphStore, user_id: str | None, generation: int, limit: int) -> list[tuple[Key, GraphHead]]:
    """Return what all pages of a sweep say together."""
    found, after = await graph.unstamped(user_id, generation, after=None, limit=limit)
    while after is not None:
        page, after = await graph.unstamped(user_id, generation, after=after, limit=limit)
        found += page
    return found


@pytest.mark.parametrize("limit", [1, 3, 1_000])
async def test_what_no_rebuild_has_stamped(graph, say, forget, limit):
    """A sweep passes the live memories that carry another generation, or none, in key order; pages lose nobody."""
    stamped = [replace(say(memory_id, 1), generation=7) for memory_id in "abc"]
    former = [replace(say(memory_id, 1), generation=6) for memory_id in ("b2", "😀")]
    others = [say("\uffee", 1), forget("dead", 1), say("x", 1, user="u2")]
    await graph.apply([*stamped, *former, *others], timeout=60)
    found = [key for key, _ in await walked(graph, "u1", 7, limit)]
    assert [Key("u1", memory_id) for memory_id in ("b2", "\uffee", "😀")] == found
    assert [*found, Key("u2", "x")] == [key for key, _ in await walked(graph, None, 7, limit)]
    assert dict(await walked(graph, None, 7, limit)) == await graph.heads([*found, Key("u2", "x")])


async def test_a_later_write_takes_the_stamp_away(graph, say):
    """A stamp says which rebuild wrote what is there: a newer write without one removes it, a rebuild sets its own."""
    await graph.apply([replace(say("m", 1), generation=7), replace(say("n", 1), generation=7)], timeout=60)
    assert await walked(graph, "u1", 7, 10) == []
    await graph.apply([say("m", 2), replace(say("n", 1), generation=8, force=True)], timeout=60)
    assert [Key("u1", "m"), Key("u1", "n")] == [key for key, _ in await walked(graph, "u1", 7, 10)]
    assert [Key("u1", "m")] == [key for key, _ in await walked(graph, "u1", 8, 10)]


async def emptied(graph: GraphStore, user_id: str, limit: int) -> int:
    """Empty a tenant; return in how many steps."""
    steps = 0
    while await graph.clear(user_id, limit=limit, timeout=60):
        steps += 1
        assert steps < 1_000
    return steps


@pytest.mark.parametrize("limit", [1, 7, 10_000])
async def test_a_tenant_is_emptied(graph, say, forget, limit):
    """Nothing but tombstones is left of it, however small the steps, and another tenant is as it was."""
    relations = [("Ada", "KNOWS", "Bob")]
    mine = [say(f"m{n}", 5, [("Ada", "Person"), ("Bob", "Person")], relations) for n in range(9)]
    theirs = say("m0", 5, [("Ada", "Person"), ("Bob", "Person")], relations, user="u2")
    await graph.apply([*mine, theirs, forget("gone", 3)], timeout=60)
    before = await graph.read([Key("u2", "m0")])
    assert await emptied(graph, "u1", limit) > 0
    assert await graph.counts("u1") == GraphCounts(0, 10, 0)
    assert await graph.bucket_sums("u1", EVERYTHING, bits=6) == {}
    assert await graph.read([Key("u2", "m0")]) == before
    assert await graph.counts("u2") == GraphCounts(1, 0, 2)
    assert await graph.clear("u1", limit=limit, timeout=60) == 0


async def test_an_emptied_tenant_keeps_its_versions(graph, apply, say, forget):
    """Of a memory at version v a tombstone at v - 1 is left: v may come back and nothing older; the dead stay dead."""
    await graph.apply([say("m", 5, [("Ada", "Person")]), forget("gone", 3)], timeout=60)
    await emptied(graph, "u1", 100)
    assert await graph.heads([Key("u1", "m"), Key("u1", "gone")]) == {
        Key("u1", "m"): GraphHead(4, None, live=False),
        Key("u1", "gone"): GraphHead(3, None, live=False),
    }
    assert await apply(say("m", 4), say("gone", 3)) == [("newer", 4), ("newer", 3)]
    assert await apply(say("m", 5, [("Ada", "Person")])) == [("applied", 5)]
    assert [entity.name for entity in (await graph.read([Key("u1", "m")]))[Key("u1", "m")].entities] == ["Ada"]


async def test_a_late_clear_is_refused(graph, say):
    """A clear whose time has passed is refused and touches nothing. Guard: the comparison with ``not_after``."""
    await graph.apply([say("m", 5, [("Ada", "Person")])], timeout=60)
    with pytest.raises(GraphWriteExpiredError):
        await graph.clear("u1", limit=10, timeout=0)
    assert await graph.counts("u1") == GraphCounts(1, 0, 1)


async def test_emptying_nobody(graph):
    """A tenant that is not there is empty."""
    assert await graph.clear("nobody", limit=10, timeout=60) == 0
