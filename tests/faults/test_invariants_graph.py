"""I3, I4, I5 and I8 of the design; each docstring names the guards (on PostgreSQL `apply_writes` is apply.cypher)."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from persistence import GraphStoreError, Key, Outcome
from persistence.ports.graph import GraphWrite, Verdict
from persistence.ports.vector import MemoryDelete, Tracking
from persistence.projection import Fragment, bucket
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, PAIRS, Stores, draft

pytestmark = pytest.mark.parametrize("stores", PAIRS, indirect=True)

SEED = 20_240_611
ROUNDS = 20


async def _untold_writes(stores: Stores, rng: random.Random) -> list[list[GraphWrite]]:
    """Write each memory to truth several times, now and then deleting it; return what the graph was not told."""
    graph = Hooked(stores.graph())
    graph.before["apply"] = failing(GraphStoreError("untold"))
    async with stores.service(graph=graph) as memories:
        for number in range(ROUNDS):
            for step in range(6):
                if rng.random() < 0.3:
                    await memories.delete(f"m{number:04}", user_id=ALICE)
                await memories.store(**draft(number, content=f"at step {step}"))
            if rng.random() < 0.5:
                await memories.delete(f"m{number:04}", user_id=ALICE)
    untold: dict[str, list[GraphWrite]] = {}
    for (write,) in graph.given["apply"]:
        untold.setdefault(write.id, []).append(write)
    return list(untold.values())


async def test_i3_a_stale_writer_changes_nothing(stores: Stores) -> None:
    """I3: of the writes of one memory racing in the graph the highest version wins, deletes included.

    Guards: apply.cypher: the memory's node is locked by a SET before its version is read; where the version found
    is higher, the verdict is `newer`.
    """
    rng = random.Random(SEED)
    graph = stores.graph()
    await graph.open()
    for writes in await _untold_writes(stores, rng):
        newest = writes[-1]
        rng.shuffle(writes)
        await asyncio.gather(*(graph.apply([write], timeout=20.0) for write in writes))
        (node,) = (await graph.read([Key(ALICE, newest.id)])).values()
        assert (node.version, node.live) == (newest.version, newest.fragment is not None), f"seed {SEED}"
    await graph.close()
    assert await stores.differences() == []


async def test_i3_a_stale_writer_of_the_service_is_told(stores: Stores) -> None:
    """I3: a store that is overtaken by a delete between its two halves answers `superseded` and revives nothing.

    Guard: apply.cypher: a lower version than the one found, a tombstone's included, is `newer` and touches nothing.
    """
    graph = Hooked(stores.graph())
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(number: int) -> None:
        if number == 1:
            arrived.set()
            await go_on.wait()

    graph.before["apply"] = hold
    async with stores.service(graph=graph) as memories:
        storing = asyncio.create_task(memories.store(**draft(1)))
        await arrived.wait()
        deleted = await memories.delete("m0001", user_id=ALICE)
        go_on.set()
        stored = await storing
        assert (stored.outcome, deleted.outcome) == (Outcome.SUPERSEDED, Outcome.IN_STEP)
        assert await memories.get("m0001", user_id=ALICE) is None
        await memories.drain()
    assert [node.live for node in (await stores.nodes()).values()] == [False]
    await stores.assert_in_step()


async def test_i4_applying_again_changes_nothing(stores: Stores) -> None:
    """I4: a fragment applied three times, once by force, and once by a relay is there once.

    Guard: apply.cypher: what the memory owned, edges by what its node remembers of them and mentions by the node's
    own edges, is removed in the transaction that puts the fragment there.
    """
    graph = Hooked(stores.graph())
    async with stores.service(graph=graph) as memories:
        await memories.store_many([draft(number) for number in range(4)])
        (writes,) = graph.given["apply"]
        again = await graph.inner.apply(writes, timeout=10.0)
        forced = await graph.inner.apply([replace(write, force=True) for write in writes], timeout=10.0)
        assert {ack.verdict for ack in again} == {Verdict.SAME}
        assert {ack.verdict for ack in forced} == {Verdict.APPLIED}
        other = [replace(write, fragment=replace(write.fragment, digest=7)) for write in writes if write.fragment]
        await graph.inner.apply(other, timeout=10.0)
        await graph.inner.apply(writes, timeout=10.0)
        await memories.store(**draft(1, content="new words, the same edges"))
        await memories.drain()
    await stores.assert_in_step()


async def test_i4_one_version_has_one_content(stores: Stores) -> None:
    """I4: what an older release projected otherwise gets a higher version in truth before the graph is told.

    Guard: relay.py, `_projected_otherwise`: a memory whose digest is not that of its projection is written anew.
    """
    async with stores.service() as memories:
        before = await memories.store(**draft(1))
        await memories.wait_until_in_step("m0001", user_id=ALICE)
        await stores.set_digest(1)
        await stores.list_all()
        await memories.drain()
        after = await memories.get("m0001", user_id=ALICE)
        assert before.version is not None
        assert after is not None
        assert after.version > before.version
    await stores.assert_in_step()


async def test_i5_deleted_stays_deleted_and_stored_again_is_live(stores: Stores) -> None:
    """I5: a store after a delete is above its tombstone, even when the clock is behind it, and is live in both.

    Guards: migrations, judge_writes: the version is above the tombstone's, read in a later statement than the lock;
    apply.cypher: a tombstone accepts only a higher version. In Qdrant guard.py, `judge`: the version is above that of
    the point, which a delete leaves where it is.
    """
    truth = Hooked(stores.vector())
    async with stores.service(vector=truth) as memories:
        await memories.store(**draft(1))
        ahead = 2**52
        (gone,) = await memories._parts.truth.store.delete_many(
            [_delete(draft(1)["id"], above=ahead)], Tracking(graph=True, lease=0.0)
        )
        assert gone.version is not None
        assert gone.version > ahead
        await memories.drain()
        stale = await memories._parts.graph.store.apply([_live_write(gone.version)], timeout=10.0)
        assert [ack.verdict for ack in stale] == [Verdict.NEWER]
        again = await memories.store(**draft(1))
        assert again.version is not None
        assert again.version > gone.version
        assert (again.outcome, truth.calls["write"]) == (Outcome.IN_STEP, 2)
        await memories.drain()
    assert [node.live for node in (await stores.nodes()).values()] == [True]
    await stores.assert_in_step()


async def test_i5_deletes_and_stores_of_one_memory_at_once(stores: Stores) -> None:
    """I5: eight tasks that store and delete one memory leave it, in both stores, as the last of them said.

    Guard: migrations, judge_writes: old versions are read in a statement of its own after the lock was taken, so a
    writer that waited sees what the one before it left. In Qdrant embedded.py, `_run`: one writer after another.
    """
    async with stores.service() as memories:
        await memories.store(**draft(1))
        # Far ahead of the clock: each version follows from the one before, or not at all.
        await stores.set_version(2**52)

        async def work(number: int) -> list[int | None]:
            versions = []
            for step in range(12):
                if (number + step) % 2:
                    versions.append((await memories.store(**draft(1, content=f"{number} {step}"))).version)
                else:
                    result = await memories.delete("m0001", user_id=ALICE)
                    versions += [result.version] if result.changed else []
            return versions

        found = [version for part in await asyncio.gather(*map(work, range(8))) for version in part]
        assert len(found) == len(set(found))
        truth = await stores.truth()
        assert truth[Key(ALICE, "m0001")][0] == max(version for version in found if version)
        await memories.drain()
    await stores.assert_in_step()


def _delete(memory_id: str, *, above: int) -> MemoryDelete:
    return MemoryDelete(ALICE, memory_id, uuid.uuid4(), bucket(ALICE, memory_id), above=above)


def _live_write(version: int) -> GraphWrite:
    """Return a zombie's write: live, at the very version of the tombstone."""
    fragment = Fragment(ALICE, "m0001", "zombie", None, None, (), (), 1, bucket(ALICE, "m0001"))
    return GraphWrite(ALICE, "m0001", version, fragment.bucket, datetime.now(UTC), fragment)
