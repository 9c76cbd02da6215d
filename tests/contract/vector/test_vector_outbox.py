"""The outbox."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from persistence.ports.outbox import Key, OutboxEntry, Postponement
from persistence.ports.vector import GraphIdentity, VectorStore
from tests.contract.vector.making import AT_ONCE, LEASED, a_delete, a_write, settlement

A, B, C = Key("ada", "a"), Key("ada", "b"), Key("ada", "c")


def postponement(entry: OutboxEntry, delay: float = 0.0, reason: str = "why", **given: bool) -> Postponement:
    return Postponement(entry.user_id, entry.id, entry.entry_id, entry.claim, delay, reason, **given)


async def bury(store: VectorStore) -> None:
    """Make every due entry dead."""
    claimed = await store.claim(limit=100, lease=60)
    await store.postpone([postponement(entry, dead=True) for entry in claimed])


async def test_settle(store: VectorStore) -> None:
    """Settling removes the entries that are still these, and counts them."""
    await store.write_many([a_write(name) for name in "abc"], LEASED)
    entries = await store.pending([A, B, C])
    wrong = settlement(entries[C])._replace(version=1)
    assert await store.settle([settlement(entries[B]), settlement(entries[A]), wrong]) == 2
    assert set(await store.pending([A, B, C])) == {C}
    assert await store.settle([]) == 0


async def test_claim(store: VectorStore) -> None:
    """A claim takes due entries, the oldest due first, counts the attempt, and hides them until its lease ends."""
    for name in "cab":
        await store.write(a_write(name), AT_ONCE)
    claimed = await store.claim(limit=2, lease=60)
    assert [(entry.id, entry.attempts) for entry in claimed] == [("c", 1), ("a", 1)]
    assert all(entry.claim > 0 for entry in claimed)
    assert [entry.id for entry in await store.claim(limit=9, lease=60)] == ["b"]
    assert await store.claim(limit=9, lease=60) == []


async def test_a_lease_that_ended(store: VectorStore) -> None:
    """An entry whose lease ended is claimed again, and the former claim is fenced off."""
    await store.write(a_write("a"), AT_ONCE)
    (first,) = await store.claim(limit=1, lease=0)
    (second,) = await store.claim(limit=1, lease=60)
    assert (second.attempts, second.claim > first.claim) == (2, True)
    assert await store.postpone([postponement(first, delay=99)]) == 0
    assert await store.postpone([postponement(second)]) == 1
    assert await store.settle([settlement(first)]) == 1, "the entry is the same, whoever claimed it"


async def test_postpone(store: VectorStore) -> None:
    """A postponed entry is due after its delay, with its reason; an attempt given back is not counted."""
    await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
    later, back = await store.claim(limit=2, lease=60)
    assert await store.postpone([postponement(later, delay=60), postponement(back, give_back=True)]) == 2
    (again,) = await store.claim(limit=9, lease=60)
    assert (back.id, 1, "why") == (again.id, again.attempts, again.reason)
    waiting = (await store.pending([later.key]))[later.key]
    assert (waiting.attempts, waiting.claim) == (1, 0)


async def test_a_new_write_fences_a_claim(store: VectorStore) -> None:
    """A claim is over when its memory is written anew: attempts begin at 0, and the old claim postpones nothing."""
    await store.write(a_write("a"), AT_ONCE)
    (claimed,) = await store.claim(limit=1, lease=60)
    await store.write(a_write("a"), AT_ONCE)
    assert await store.postpone([postponement(claimed, dead=True)]) == 0
    (again,) = await store.claim(limit=1, lease=60)
    assert again.attempts == 1


async def test_the_dead(store: VectorStore) -> None:
    """A dead entry is neither claimed nor pending, and is listed and counted as dead."""
    await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
    await bury(store)
    await store.write(a_write("c"), AT_ONCE)
    stats = await store.outbox_stats()
    assert (stats.pending, stats.dead, stats.exact) == (1, 2, True)
    assert [entry.id for entry in await store.claim(limit=9, lease=60)] == ["c"]
    dead = await store.outbox_page(dead=True, after=None, limit=9)
    assert [(e.id, e.dead, e.reason) for e in dead] == [("a", True, "why"), ("b", True, "why")]
    assert await store.next_due() > 0


async def test_a_new_write_revives(store: VectorStore) -> None:
    """A new write, or a delete, of a memory with a dead entry makes the entry alive again."""
    await store.write_many([a_write("a"), a_write("b"), a_write("c")], AT_ONCE)
    await bury(store)
    await store.write(a_write("a"), AT_ONCE)
    await store.write_many([a_write("b")], AT_ONCE)
    await store.delete_many([a_delete("c")], AT_ONCE)
    assert {("a", 1), ("b", 1), ("c", 1)} == {(e.id, e.attempts) for e in await store.claim(limit=9, lease=60)}


async def test_revive(store: VectorStore) -> None:
    """Reviving makes dead entries due with no attempts counted: those named, or all."""
    await store.write_many([a_write(name) for name in "abc"], AT_ONCE)
    await bury(store)
    assert await store.revive([A, Key("ada", "unknown")]) == 1
    assert await store.revive([]) == 0
    assert [(entry.id, entry.attempts) for entry in await store.claim(limit=9, lease=60)] == [("a", 1)]
    assert await store.revive(None) == 2


async def test_discard(store: VectorStore) -> None:
    """Only a dead entry can be discarded, and only the one that is meant."""
    first, second = a_write("a"), a_write("a")
    await store.write(first, AT_ONCE)
    assert not await store.discard(A, first.write_id)
    await bury(store)
    await store.write(second, AT_ONCE)
    assert not await store.discard(A, first.write_id)
    await bury(store)
    assert await store.discard(A, second.write_id)
    assert await store.pending([A]) == {}


async def test_release(store: VectorStore) -> None:
    """A writer gives up its lease; a relay's claim stays what it is."""
    await store.write_many([a_write("a"), a_write("b")], LEASED)
    entries = await store.pending([A, B])
    await store.release([settlement(entries[A])])
    (claimed,) = await store.claim(limit=9, lease=60)
    assert claimed.id == "a"
    await store.release([settlement(entries[A])])
    assert await store.claim(limit=9, lease=60) == []
    assert (await store.pending([A]))[A].claim == claimed.claim


async def test_next_due(store: VectorStore) -> None:
    """The next due time is nothing for an empty outbox, past for a due entry, ahead for a leased one."""
    assert await store.next_due() is None
    await store.write(a_write("a"), LEASED)
    assert 50 < await store.next_due() < 60.1
    await store.write(a_write("b"), AT_ONCE)
    assert await store.next_due() <= 0


async def test_pages(store: VectorStore) -> None:
    """Entries are listed page by page in key order, of one tenant or of all, dead or pending or both."""
    await store.write_many([a_write(name, user) for user in ("b", "a") for name in ("z", "Z", "é", "a")], AT_ONCE)
    keys = [Key(user, name) for user in "ab" for name in ("Z", "a", "z", "é")]
    seen: list[Key] = []
    while page := await store.outbox_page(dead=None, after=seen[-1] if seen else None, limit=3):
        seen += [entry.key for entry in page]
    assert keys == seen
    assert keys[4:] == [e.key for e in await store.outbox_page(dead=False, after=None, limit=9, user_id="b")]
    assert await store.outbox_page(dead=True, after=None, limit=9) == []


async def test_stats(store: VectorStore) -> None:
    """An empty outbox has no age; beyond the bound the count says that it is not exact."""
    empty = await store.outbox_stats()
    assert (empty.pending, empty.dead, empty.oldest_age_s, empty.exact) == (0, 0, None, True)
    await store.write_many([a_write(str(i)) for i in range(5)], AT_ONCE)
    some = await store.outbox_stats(bound=3)
    assert (some.pending, some.exact) == (3, False)
    assert 0 <= some.oldest_age_s < 60


async def test_claims_are_exclusive(store: VectorStore) -> None:
    """Of many claimers at once, each entry has one."""
    await store.write_many([a_write(str(i)) for i in range(200)], AT_ONCE)
    rounds = await asyncio.gather(*(store.claim(limit=30, lease=60) for _ in range(8)))
    claimed = [entry.id for round_ in rounds for entry in round_]
    assert len(claimed) == len(set(claimed))
    rest = await store.claim(limit=200, lease=60)
    assert len(claimed) + len(rest) == 200


async def test_a_new_graph_has_everything_listed_for_it(store: VectorStore) -> None:
    """Every memory and tombstone is listed; an old entry is renamed, so that no one settles it unseen."""
    await store.write_many([a_write(name, user) for user in ("ada", "bob") for name in "abc"], AT_ONCE)
    await store.delete_many([a_delete("b")], AT_ONCE)
    old = await store.outbox_page(dead=None, after=None, limit=99)
    await store.settle([settlement(entry) for entry in old[:3]])
    identity = GraphIdentity(uuid4(), "db")
    assert await store.register_graph(identity, former=None) == identity
    assert len(await store.claim(limit=99, lease=60)) == 6
    assert await store.settle([settlement(entry) for entry in old]) == 0


async def test_the_graph_that_is_known_has_nothing_listed(store: VectorStore) -> None:
    """Registering the same graph again, or one too late, lists nothing."""
    identity = GraphIdentity(uuid4(), "db")
    await store.register_graph(identity, former=None)
    await store.write(a_write("a"), AT_ONCE)
    await store.settle([settlement(entry) for entry in await store.claim(limit=9, lease=60)])
    assert await store.register_graph(identity, former=identity) == identity
    assert await store.register_graph(GraphIdentity(uuid4(), "other"), former=None) == identity
    assert await store.claim(limit=9, lease=60) == []
