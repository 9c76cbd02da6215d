"""What runs found: recorded, seen again, resolved, listed, removed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from persistence.errors import LeaseLostError
from persistence.ports.runs import (
    Depth,
    Inconsistency,
    InconsistencyQuery,
    Kind,
    Recorded,
    Run,
    RunKind,
    RunState,
)
from persistence.ports.vector import Key, Postponement, VectorStore
from tests.contract.vector.conftest import Backend
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write

OPEN = InconsistencyQuery()
EVERYTHING = InconsistencyQuery(open=None)
RESOLVED = InconsistencyQuery(open=False)


async def begin(store: VectorStore, kind: RunKind = RunKind.CHECK, lease: float = 60) -> Run:
    return await store.begin_run(kind, None, {}, holder=uuid4(), lease=lease)


async def anew(store: VectorStore, former: Run) -> Run:
    """End a run and begin the next."""
    await store.finish_run(former.id, former.token, RunState.DONE, {})
    return await begin(store, former.kind)


def missing(memory_id: str, user_id: str = "ada", depth: Depth = Depth.QUICK) -> Inconsistency:
    return Inconsistency(user_id, memory_id, Kind.MISSING, depth)


def orphan(kind: str, key: str, user_id: str = "ada") -> Inconsistency:
    return Inconsistency(user_id, None, Kind.ORPHAN_ENTITY, Depth.STRUCTURE, entity=(kind, key))


async def listed(store: VectorStore, query: InconsistencyQuery = OPEN) -> list[Inconsistency]:
    return [one.inconsistency for one in await store.inconsistencies(query, limit=10_000)]


async def test_record(store: VectorStore) -> None:
    """What a run found is open, as it was found, in the order of its number."""
    run = await begin(store)
    found = [
        Inconsistency("ada", "a", Kind.STALE, Depth.QUICK, 2**52, 7, reason="behind"),
        Inconsistency("ada", "b", Kind.EDGE_MISSING, Depth.STRUCTURE),
        Inconsistency("é\U0001f600", "\u2028 ", Kind.CONTENT, Depth.FULL, reason="différent \U0001f600"),
        orphan("Person", "ada lovelace"),
        Inconsistency("ada", "c", Kind.UNKNOWN),
    ]
    await store.record(run.id, run.token, found)
    records = await store.inconsistencies(OPEN)
    assert sorted(found, key=repr) == sorted((one.inconsistency for one in records), key=repr)
    assert [one.number for one in records] == sorted({one.number for one in records})
    assert {(one.run_id, one.resolved_at, one.resolved_by) for one in records} == {(run.id, None, None)}
    assert all(one.first_seen == one.last_seen >= run.started_at for one in records)
    await store.record(run.id, run.token, [])
    assert await store.inconsistencies(OPEN) == records


async def test_seen_again(store: VectorStore) -> None:
    """What is seen again keeps its number and when it was first seen; all else is as it was seen last."""
    run = await begin(store)
    await store.record(run.id, run.token, [missing("a")])
    (first,) = await store.inconsistencies(OPEN)
    run = await anew(store, run)
    changed = Inconsistency("ada", "a", Kind.MISSING, Depth.FULL, 5, 4, reason="why")
    await store.record(run.id, run.token, [changed])
    (second,) = await store.inconsistencies(EVERYTHING)
    assert second == replace(first, inconsistency=changed, run_id=run.id, last_seen=second.last_seen)
    assert second.last_seen > run.started_at > first.last_seen


async def test_twice_in_one_call(store: VectorStore) -> None:
    """The same inconsistency twice in a call is one, and what was said last stays."""
    run = await begin(store)
    twice = [replace(missing("a"), reason=reason) for reason in ("first", "second")]
    await store.record(run.id, run.token, [twice[0], missing("b"), twice[1]])
    assert {(one.memory_id, one.reason) for one in await listed(store)} == {("a", "second"), ("b", None)}
    assert await store.resolve_mended(run.id, run.token, twice) == 1


async def test_one_each(store: VectorStore) -> None:
    """Each tenant, memory, kind and entity has an inconsistency of its own, however alike their names."""
    run = await begin(store)
    found = [
        missing("a"),
        missing("a", "bob"),
        missing("A"),
        replace(missing("a"), kind=Kind.STALE),
        orphan("a b", "c"),
        orphan("a", "b c"),
        orphan("a", "b c", "bob"),
        replace(orphan("a", "b c"), memory_id="a"),
    ]
    await store.record(run.id, run.token, found)
    await store.record(run.id, run.token, found)
    assert sorted(await listed(store), key=repr) == sorted(found, key=repr)


async def test_many(store: VectorStore) -> None:
    """A thousand are recorded, seen again and resolved by one call each, and more than that too."""
    run = await begin(store)
    for number in (1_000, 2_500):
        found = [missing(f"{i:05}", f"user {i % 7}") for i in range(number)]
        random.Random(1).shuffle(found)
        await store.record(run.id, run.token, found)
        await store.record(run.id, run.token, found)
        assert len(await listed(store)) == number
        assert await store.resolve_mended(run.id, run.token, found) == number
        assert await listed(store) == []


async def test_the_longest_names(store: VectorStore) -> None:
    """The longest names, of letters of four bytes (seed 2), are no longer than what can be recorded."""
    letters = [chr(code) for code in range(0x20000, 0x2A000)]
    rng = random.Random(2)
    user_id, memory_id, kind, key = ("".join(rng.sample(letters, 255)) for _ in range(4))
    found = [missing(memory_id, user_id), replace(orphan(kind, key * 5, user_id), memory_id=memory_id)]
    run = await begin(store)
    await store.record(run.id, run.token, found)
    assert await listed(store) == found
    assert await store.resolve_mended(run.id, run.token, found) == 2


async def test_resolve(store: VectorStore) -> None:
    """What was mended is resolved by its run, once; what was not open is not counted."""
    run = await begin(store)
    await store.record(run.id, run.token, [missing("a"), missing("b"), orphan("Person", "x")])
    run = await anew(store, run)
    mended = [missing("a", depth=Depth.FULL), orphan("Person", "x"), missing("unknown"), missing("b", "bob")]
    assert await store.resolve_mended(run.id, run.token, mended) == 2
    assert await store.resolve_mended(run.id, run.token, mended) == 0
    assert await store.resolve_mended(run.id, run.token, []) == 0
    assert await listed(store) == [missing("b")]
    resolved = await store.inconsistencies(RESOLVED)
    assert sorted(one.inconsistency.memory_id or "" for one in resolved) == ["", "a"]
    assert all(one.resolved_by == run.id and one.resolved_at > run.started_at for one in resolved)


async def test_found_after_it_was_resolved(store: VectorStore) -> None:
    """What is found again after it was resolved is a new inconsistency; the former one stays in the history."""
    run = await begin(store)
    for _ in range(3):
        await store.record(run.id, run.token, [missing("a")])
        await store.resolve_mended(run.id, run.token, [missing("a")])
    await store.record(run.id, run.token, [missing("a")])
    first, *_, last = await store.inconsistencies(EVERYTHING)
    assert len(await store.inconsistencies(RESOLVED)) == 3
    assert (last.resolved_at, last.first_seen > first.resolved_at) == (None, True)


@pytest.mark.parametrize("depth", list(Depth))
async def test_resolve_what_a_depth_does_not_see_again(store: VectorStore, depth: Depth) -> None:
    """A check resolves what it did not see again, but nothing that only a deeper one can see."""
    run = await begin(store)
    found = [missing(seen.value, depth=seen) for seen in Depth]
    await store.record(run.id, run.token, found)
    run = await anew(store, run)
    assert await store.resolve_unseen(run.id, run.token, None, depth, run.started_at) == depth.rank + 1
    assert {one.depth for one in await listed(store)} == set(list(Depth)[depth.rank + 1 :])
    assert {one.resolved_by for one in await store.inconsistencies(RESOLVED)} == {run.id}
    assert await store.resolve_unseen(run.id, run.token, None, depth, run.started_at) == 0


async def test_what_was_seen_is_not_resolved(store: VectorStore) -> None:
    """What was seen at or after the time given stays open, in pages of many as of few."""
    run = await begin(store)
    found = [missing(f"{i:05}", f"user {i % 3}") for i in range(2_500)]
    await store.record(run.id, run.token, found)
    assert await store.resolve_unseen(run.id, run.token, None, Depth.FULL, run.started_at) == 0
    run = await anew(store, run)
    again = random.Random(4).sample(found, 700)
    await store.record(run.id, run.token, again)
    seen_last = max(one.last_seen for one in await store.inconsistencies(OPEN, limit=9_999))
    assert await store.resolve_unseen(run.id, run.token, None, Depth.QUICK, run.started_at) == 1_800
    assert sorted(await listed(store), key=repr) == sorted(again, key=repr)
    assert await store.resolve_unseen(run.id, run.token, None, Depth.QUICK, seen_last) == 0


async def test_one_tenant_is_resolved(store: VectorStore) -> None:
    """A check of one tenant resolves nothing of another one, whose name may begin alike."""
    run = await begin(store)
    users = ["ad", "ada", "ada ", "adb", "\U0001f600"]
    await store.record(run.id, run.token, [missing("a", user) for user in users])
    run = await anew(store, run)
    assert await store.resolve_unseen(run.id, run.token, "ada", Depth.FULL, run.started_at) == 1
    assert await store.resolve_unseen(run.id, run.token, "unknown", Depth.FULL, run.started_at) == 0
    assert {one.user_id for one in await listed(store)} == {"ad", "ada ", "adb", "\U0001f600"}


async def discard(store: VectorStore, reason: str) -> None:
    """Write a memory, bury its outbox entry, and discard that."""
    await store.write(a_write("a"), AT_ONCE)
    (entry,) = await store.claim(limit=1, lease=60)
    await store.postpone([Postponement("ada", "a", entry.entry_id, entry.claim, 0.0, reason, dead=True)])
    assert await store.discard(Key("ada", "a"), entry.entry_id)


async def test_a_discarded_entry(store: VectorStore) -> None:
    """A discarded outbox entry is one open inconsistency, of no run, until a check looks at what became of it."""
    await discard(store, "first")
    await discard(store, "second")
    (record,) = await store.inconsistencies(OPEN)
    found = record.inconsistency
    assert (found.user_id, found.memory_id, found.kind, found.reason) == ("ada", "a", Kind.DISCARDED, "second")
    assert (found.depth, found.entity, record.run_id) == (Depth.QUICK, None, None)
    assert record.last_seen > record.first_seen
    run = await begin(store)
    assert await store.resolve_unseen(run.id, run.token, "ada", Depth.QUICK, run.started_at) == 1
    await discard(store, "third")
    assert [one.reason for one in await listed(store)] == ["third"]


Call = Callable[[VectorStore, Run, datetime], Awaitable[object]]
CALLS: dict[str, Call] = {
    "record": lambda store, run, _: store.record(run.id, run.token, [missing("a"), missing("b")]),
    "resolve_mended": lambda store, run, _: store.resolve_mended(run.id, run.token, [missing("a")]),
    "resolve_unseen": lambda store, run, now: store.resolve_unseen(run.id, run.token, None, Depth.FULL, now),
    "resolve_unseen of one": lambda store, run, now: store.resolve_unseen(run.id, run.token, "ada", Depth.FULL, now),
}


@pytest.mark.parametrize("loss", ["taken", "replaced", "ended", "cancelled"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_who_lost_the_run_changes_nothing(store: VectorStore, call: Call, loss: str) -> None:
    """Whoever lost a run, in whatever way, neither records nor resolves anything in its name."""
    dead = await begin(store, lease=0)
    await store.record(dead.id, dead.token, [missing("a")])
    before = await store.inconsistencies(EVERYTHING)
    if loss == "taken":
        await store.resume_run(dead.id, holder=uuid4(), lease=60)
    elif loss == "ended":
        await store.finish_run(dead.id, dead.token, RunState.DONE, {})
    elif loss == "cancelled":
        await store.cancel_run(dead.id)
    else:
        await begin(store)
    later = (await begin(store, RunKind.REPAIR)).started_at
    with pytest.raises(LeaseLostError):
        await call(store, dead, later)
    assert await store.inconsistencies(EVERYTHING) == before


async def test_a_dead_run_that_nobody_took_records(store: VectorStore) -> None:
    """A run whose lease has run out, but was taken by nobody, still records and resolves."""
    run = await begin(store, lease=0)
    await store.record(run.id, run.token, [missing("a")])
    assert await store.resolve_mended(run.id, run.token, [missing("a")]) == 1


async def some(store: VectorStore) -> tuple[list[Recorded], list[Run]]:
    """Leave inconsistencies of several tenants, kinds and runs, every third resolved; return them all."""
    runs = [await begin(store, kind) for kind in (RunKind.CHECK, RunKind.REPAIR)]
    kinds = (Kind.MISSING, Kind.STALE, Kind.DISCARDED)
    found = [Inconsistency(user, f"{i}", kinds[i % 3]) for i in range(9) for user in ("ada", "bob", "é\U0001f600")]
    for i, run in enumerate(runs):
        await store.record(run.id, run.token, found[i::2])
    await store.resolve_mended(runs[1].id, runs[1].token, found[::3] + found[1:9:4])
    return await store.inconsistencies(EVERYTHING, limit=1_000), runs


async def test_list(store: VectorStore) -> None:
    """Inconsistencies are listed by tenant, kind, run, open or resolved, and by all of these, in pages."""
    records, runs = await some(store)
    assert (len(records), len({one.number for one in records})) == (27, 27)
    for user_id in (None, "ada", "é\U0001f600", "unknown"):
        for kind in (None, Kind.STALE, Kind.CONTENT):
            for run_id in (None, runs[0].id, uuid4()):
                for is_open in (None, True, False):
                    expected = [
                        one
                        for one in records
                        if user_id in {None, one.inconsistency.user_id}
                        and kind in {None, one.inconsistency.kind}
                        and run_id in {None, one.run_id}
                        and is_open in {None, one.resolved_at is None}
                    ]
                    assert await paged(store, InconsistencyQuery(user_id, kind, run_id, is_open)) == expected


async def paged(store: VectorStore, query: InconsistencyQuery) -> list[Recorded]:
    """Return all of a listing, read in pages of 4."""
    seen: list[Recorded] = []
    while page := await store.inconsistencies(query, after=seen[-1].number if seen else 0, limit=4):
        seen += page
    return seen


async def test_count_open(store: VectorStore) -> None:
    """Open inconsistencies are counted by kind, of all or of one tenant, and no more than the bound in all."""
    assert await store.count_open(None) == {}
    records, _ = await some(store)
    for user_id in (None, "ada", "unknown"):
        expected: dict[Kind, int] = {}
        for one in records:
            if one.resolved_at is None and user_id in {None, one.inconsistency.user_id}:
                expected[one.inconsistency.kind] = expected.get(one.inconsistency.kind, 0) + 1
        assert await store.count_open(user_id) == expected
        assert await store.count_open(user_id, bound=1_000) == expected
        assert sum((await store.count_open(user_id, bound=4)).values()) == min(4, sum(expected.values()))


async def test_prune(store: VectorStore) -> None:
    """What was resolved long enough ago is removed, no more than the limit at once; what is open stays."""
    run = await begin(store)
    found = [missing(f"{i}") for i in range(10)]
    await store.record(run.id, run.token, found)
    await store.resolve_mended(run.id, run.token, found[:7])
    assert await store.prune(age=3_600) == 0
    assert await store.prune(age=0, limit=5) == 5
    assert await store.prune(age=0, limit=5) == 2
    assert await listed(store, EVERYTHING) == found[7:]


async def test_the_limit_of_a_removal_is_one(store: VectorStore) -> None:
    """Runs and inconsistencies together are removed up to the limit; what a removed run found stays."""
    run = await begin(store)
    found = [missing(f"{i}") for i in range(4)]
    await store.record(run.id, run.token, found)
    await store.resolve_mended(run.id, run.token, found[:3])
    for _ in range(3):
        run = await anew(store, run)
    assert [await store.prune(age=0, limit=4) for _ in range(3)] == [4, 1, 0]
    assert await listed(store, EVERYTHING) == found[3:]


async def test_runs_at_once(store: VectorStore, backend: Backend) -> None:
    """Runs record and resolve the same memories at once, in any order (seeds 1 to 3): each has one open record."""
    other = backend()
    try:
        await other.open(model="test", dimension=DIMENSION)
        await asyncio.gather(
            work(store, await begin(store, RunKind.CHECK), 1),
            work(other, await begin(other, RunKind.REPAIR), 2),
            work(other, await begin(other, RunKind.FULL), 3),
        )
    finally:
        await other.close()
    found = await listed(store)
    assert len(found) == len(set(found))
    resolved = await store.inconsistencies(RESOLVED, limit=10_000)
    assert all(one.resolved_by and one.resolved_at >= one.first_seen for one in resolved)


async def work(store: VectorStore, run: Run, seed: int) -> None:
    rng = random.Random(seed)
    found = [missing(f"{i}", f"user {i % 3}") for i in range(120)]
    for _ in range(12):
        await store.record(run.id, run.token, rng.sample(found, 80))
        await store.resolve_mended(run.id, run.token, rng.sample(found, 60))
        await store.resolve_unseen(run.id, run.token, None, Depth.FULL, run.started_at)
