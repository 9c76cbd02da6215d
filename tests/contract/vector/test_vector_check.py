"""What truth answers to a check: sums, narrow rows, how keys stand, a walk, and entries for a repair."""

from __future__ import annotations

import random

import pytest

from persistence.ports.checking import EVERYTHING, BucketSum, Doubt, Head, Span, Standing
from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from tests.contract.vector.making import AT_ONCE, LEASED, a_delete, a_write, settlement

USERS = ("ada", "bob", "Zoë 🜚", "￿", "𐀀")
HALF = 2**32


async def fill(store: VectorStore, each: int = 60) -> list[Head]:
    """Write memories of several tenants, delete some; return those that live."""
    rng = random.Random(11)
    live = []
    for user in USERS:
        writes = [a_write(f"m{i}", user, digest=rng.randrange(2**63)) for i in range(each)]
        receipts = await store.write_many(writes, LEASED)
        await store.delete_many([a_delete(write.id, user) for write in writes[::7]], LEASED)
        pairs = list(zip(writes, receipts, strict=True))
        live += [Head(user, w.id, w.digest, r.version or 0) for i, (w, r) in enumerate(pairs) if i % 7]
    return live


def sums(heads: list[Head], span: Span, bits: int) -> dict[int, BucketSum]:
    """Add up by hand what a store is asked for."""
    found: dict[int, list[Head]] = {}
    for head in heads:
        bucket = a_write(head.id, head.user_id).bucket
        if span.low <= bucket < span.high:
            found.setdefault(bucket >> (24 - bits), []).append(head)
    return {
        prefix: BucketSum(
            len(rows),
            sum(row.digest // HALF for row in rows),
            sum(row.digest % HALF for row in rows),
            sum(row.version // HALF for row in rows),
            sum(row.version % HALF for row in rows),
        )
        for prefix, rows in found.items()
    }


@pytest.mark.parametrize("bits", [0, 1, 6, 12, 18, 24])
async def test_sums_are_those_of_the_live_memories(store: VectorStore, bits: int) -> None:
    """Sums per prefix are those of what lives, of all tenants or of one, whatever the span."""
    live = await fill(store)
    for span in (EVERYTHING, Span(0, 2**23), Span(12_345, 9_876_543), Span(5, 5)):
        assert await store.bucket_sums(None, span, bits=bits) == sums(live, span, bits)
        for user in (*USERS, "nobody"):
            own = [head for head in live if head.user_id == user]
            assert await store.bucket_sums(user, span, bits=bits) == sums(own, span, bits)


async def test_extreme_digests_add_up(store: VectorStore) -> None:
    """The largest digests add up without a loss."""
    writes = [a_write(f"m{i}", digest=2**63 - 1 - i % 2) for i in range(500)]
    receipts = await store.write_many(writes, LEASED)
    live = [Head(w.user_id, w.id, w.digest, r.version or 0) for w, r in zip(writes, receipts, strict=True)]
    assert await store.bucket_sums(None, EVERYTHING, bits=0) == sums(live, EVERYTHING, 0)


async def test_rows_of_spans(store: VectorStore) -> None:
    """The rows of some spans are those whose buckets lie in them, each once, of one tenant or of all."""
    live = await fill(store)
    rng = random.Random(12)
    lows = sorted(rng.sample(range(0, 2**24, 2**14), 200))
    spans = [Span(low, low + 2**13) for low in lows]
    inside = [h for h in live if any(s.low <= a_write(h.id, h.user_id).bucket < s.high for s in spans)]
    assert inside
    assert sorted(await store.bucket_rows(None, spans)) == sorted(inside)
    assert sorted(await store.bucket_rows("ada", spans)) == sorted(h for h in inside if h.user_id == "ada")
    assert await store.bucket_rows("nobody", spans) == []
    assert await store.bucket_rows(None, []) == []


async def test_how_keys_stand(store: VectorStore) -> None:
    """Each key that is asked for is answered: a memory, a tombstone, nothing, and whether the outbox lists it."""
    receipts = await store.write_many([a_write("listed", digest=7), a_write("settled", digest=8)], AT_ONCE)
    (gone,) = await store.delete_many([a_delete("listed", "bob")], AT_ONCE)
    assert gone.version is None
    await store.write(a_write("dead", digest=9), AT_ONCE)
    (grave,) = await store.delete_many([a_delete("dead")], AT_ONCE)
    entries = {entry.id: entry for entry in await store.claim(limit=10, lease=60)}
    await store.settle([settlement(entries["settled"])])
    keys = [Key("ada", "listed"), Key("ada", "settled"), Key("ada", "dead"), Key("ada", "none"), Key("bob", "listed")]
    assert await store.standings(keys) == {
        keys[0]: Standing(receipts[0].version, 7, pending=True),
        keys[1]: Standing(receipts[1].version, 8, pending=False),
        keys[2]: Standing(grave.version, None, pending=True),
        keys[3]: Standing(None, None, pending=False),
        keys[4]: Standing(None, None, pending=False),
    }
    assert await store.standings([]) == {}


@pytest.mark.parametrize("user", [None, "ada", "𐀀"])
async def test_a_walk_passes_every_memory_once(store: VectorStore, user: str | None) -> None:
    """Pages of a walk follow each other in key order (code points) without a gap, whatever their size."""
    live = await fill(store, 25)
    wanted = sorted(head.key for head in live if user in {None, head.user_id})
    for limit in (1, 7, 1_000):
        walked: list[Key] = []
        after: Key | None = None
        while page := await store.walk(user, after=after, limit=limit):
            assert len(page) <= limit
            assert all(memory.embedding is None for memory in page)
            walked += [Key(memory.user_id, memory.id) for memory in page]
            after = walked[-1]
        assert walked == wanted


async def test_a_walk_brings_embeddings_where_they_are_asked_for(store: VectorStore) -> None:
    """A memory that is to be written again is read with its embedding."""
    await store.write(a_write("a"), AT_ONCE)
    (memory,) = await store.walk("ada", after=None, limit=5, embeddings=True)
    assert memory.embedding is not None
    assert memory.embedding.tolist() == a_write("a").embedding.tolist()


async def test_memories_are_listed_for_a_repair(store: VectorStore) -> None:
    """What is enlisted is claimed and forced, at the version given; what is listed already stays as it is."""
    receipt = await store.write(a_write("a"), AT_ONCE)
    (entry,) = await store.claim(limit=5, lease=60)
    await store.settle([settlement(entry)])
    await store.write(a_write("b"), LEASED)
    before = await store.pending([Key("ada", "b")])
    doubts = [Doubt("ada", "b", 5), Doubt("ada", "never was", 42), Doubt("ada", "a", receipt.version or 0)]

    listed = await store.enlist(doubts, lease=60)

    assert [(e.id, e.version, e.attempts, e.forced, e.dead) for e in listed] == [
        ("a", receipt.version, 1, True, False),
        ("never was", 42, 1, True, False),
    ]
    assert all(e.claim > 0 for e in listed)
    assert await store.pending([Key("ada", "b")]) == before
    assert await store.claim(limit=10, lease=60) == []
    assert await store.enlist(doubts, lease=60) == []
    assert await store.enlist([], lease=60) == []
    assert await store.settle([settlement(e) for e in listed]) == 2
    there = await store.read([Key("ada", "never was"), Key("ada", "a"), Key("ada", "b")])
    assert [there[key].version for key in there if there[key].tombstone] == [42]


async def test_what_is_enlisted_comes_due_when_its_lease_is_over(store: VectorStore) -> None:
    """A repair that dies leaves its entries to whoever claims next, still forced; a new write takes them over."""
    await store.enlist([Doubt("ada", "a", 5), Doubt("ada", "b", 6)], lease=0)
    await store.write(a_write("b"), LEASED)
    (entry,) = await store.claim(limit=10, lease=60)
    assert (entry.id, entry.attempts, entry.forced) == ("a", 2, True)
    (taken,) = (await store.pending([Key("ada", "b")])).values()
    assert (taken.attempts, taken.claim) == (0, 0)


async def test_one_tenants_outbox_is_counted_alone(store: VectorStore) -> None:
    """The outbox of one tenant is counted up to a bound, and says how old its oldest entry is."""
    await store.write_many([a_write(f"m{i}", "ada") for i in range(5)], AT_ONCE)
    await store.write_many([a_write(f"m{i}", "bob") for i in range(9)], AT_ONCE)
    ada = await store.outbox_stats("ada")
    assert (ada.pending, ada.dead, ada.exact) == (5, 0, True)
    assert ada.oldest_age_s is not None
    few = await store.outbox_stats("bob", bound=4)
    assert (few.pending, few.exact) == (4, False)
    none = await store.outbox_stats("nobody")
    assert (none.pending, none.oldest_age_s) == (0, None)
