"""What a process read of truth must not reach the graph when the tombstone is gone that would have refused it.

Found by the model (docs/protocol/README.md, guard NO_BOUND_FROM_THE_READ): the time of a graph write has to run from
the read of truth it is made of, not from the moment it is sent.
"""

from __future__ import annotations

import time

import pytest

from persistence import AsyncPersistenceService, Outcome
from persistence.errors import GraphUnavailableError
from persistence.retry import Deadline
from sync import AsyncSyncService
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, Stores, draft, until

#: More than a tombstone is kept for.
FROZEN = 7_200.0

pytestmark = pytest.mark.parametrize("stores", ["file+file"], indirect=True)


class Clock:
    """The clock of a process that is stopped for a while and does not notice."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def _delete_and_collect(stores: Stores, memories: AsyncPersistenceService, memory_id: str) -> None:
    """Delete a memory, and let its tombstones grow old."""
    await memories.delete(memory_id, user_id=ALICE)

    async def settled() -> bool:
        return not await stores.outbox()

    await until(settled, what="the delete to be settled")
    truth, graph = memories._parts.truth.store, memories._parts.graph.store
    due = await truth.tombstones_due(age=-1.0, limit=10)
    assert len(due) == 1
    await graph.collect(due)
    assert await truth.collect_tombstones(due) == 1


async def test_a_relay_that_slept_after_its_read_brings_nothing_back(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: a relay stopped between its read of truth and its write, longer than tombstones are kept, writes nothing."""
    clock = Clock()
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (clock,))
    item = draft(1)
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    async with stores.service(vector=truth, graph=graph) as memories:
        graph.before["apply"] = failing(GraphUnavailableError())
        assert (await memories.store(**item)).outcome is Outcome.PENDING
        graph.before.clear()
        memories._parts.graph.breaker.succeeded()

        async def sleeps(number: int) -> None:
            truth.after.clear()
            await _delete_and_collect(stores, memories, item["id"])
            clock.ahead = FROZEN

        truth.after["read"] = sleeps

        async def worked() -> bool:
            return await memories._parts.relay.work() == 1

        await until(worked, what="the writer's lease to end")
    assert truth.after == {}
    assert [node for node in (await stores.nodes()).values() if node.live] == []


async def test_a_rebuild_that_slept_after_its_read_brings_nothing_back(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: a rebuild stopped between its read of a page and its write of it reads the page again."""
    clock = Clock()
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (clock,))
    kept, gone = draft(1), draft(2)
    truth = Hooked(stores.vector())
    async with stores.service(vector=truth) as memories:
        for item in (kept, gone):
            assert (await memories.store(**item)).outcome is Outcome.IN_STEP

        async def sleeps(number: int) -> None:
            truth.after.clear()
            await _delete_and_collect(stores, memories, gone["id"])
            clock.ahead = FROZEN

        truth.after["walk"] = sleeps
        report = await AsyncSyncService(memories).rebuild_graph()
        assert (report.complete, report.memories) == (True, 1)
    assert truth.after == {}
    assert [key.id for key, node in (await stores.nodes()).items() if node.live] == [kept["id"]]
