"""What the simulated world has found in the code, each in its shortest form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from persistence import (
    AsyncPersistenceService,
    GraphStoreError,
    GraphUnavailableError,
    Key,
    Outcome,
    OutcomeUnknownError,
    PersistenceConfig,
    relay,
)
from persistence.graph.memory.tenant import Tenant
from persistence.ports.checking import Doubt
from persistence.vector.memory import MemoryStore
from sync import AsyncSyncService, Depth, LeaseLostError, conduct, rebuild
from tests.faults.proxies import Hooked, failing
from tests.faults.simulator.oracle import Intent
from tests.faults.simulator.ports import SharedGraph
from tests.faults.simulator.scene import stopping, told
from tests.faults.simulator.world import World
from tests.faults.stores import ALICE, DIMENSION, draft

CONFIG: dict[str, Any] = {"embedding_dimension": DIMENSION, "enable_relay": False, "retry_attempts": 1}


class Pair:
    """Truth and graph in memory, with hooks around their calls."""

    def __init__(self) -> None:
        self.truth = Hooked(MemoryStore())
        self.graph = Hooked(SharedGraph())

    def service(self, **settings: Any) -> AsyncPersistenceService:
        """Return a service on both, which is to be opened."""
        config = PersistenceConfig(**{**CONFIG, **settings})
        return AsyncPersistenceService.connect(self.truth, self.graph, config=config)  # type: ignore[arg-type]

    def tenant(self) -> Tenant:
        """Return what the graph has of the tenant."""
        found: Tenant = self.graph.inner._tenants[ALICE]
        return found


@pytest.fixture
def pair() -> Pair:
    return Pair()


async def test_a_write_sent_twice_is_not_undone_into_nothing(pair: Pair) -> None:
    """Rollback mode: where the answer of truth was lost, what was there before is not known, so nothing is undone."""
    async with pair.service(rollback_on_partial_failure=True) as memories:
        await memories.store(**draft(1))
        pair.truth.after["write"] = failing(OutcomeUnknownError(), first=2, times=1)
        pair.graph.before["apply"] = failing(GraphUnavailableError(), first=2)
        result = await memories.update("m0001", user_id=ALICE, content="changed")
        assert result.outcome is Outcome.PENDING
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert there.content == "changed"


async def test_an_unknown_rollback_is_no_acknowledgement(pair: Pair) -> None:
    """Rollback mode: where it is not known whether a write was undone, the caller is told so, not that it is kept."""
    async with pair.service(rollback_on_partial_failure=True) as memories:
        pair.graph.before["apply"] = failing(GraphUnavailableError())
        pair.truth.after["delete_many"] = failing(OutcomeUnknownError())
        with pytest.raises(OutcomeUnknownError):
            await memories.store(**draft(1))


async def test_a_rollback_whose_answer_was_lost_is_asked_for_again(pair: Pair) -> None:
    """Rollback mode: a lost answer of the compensation is resolved like that of any write."""
    async with pair.service(rollback_on_partial_failure=True) as memories:
        pair.graph.before["apply"] = failing(GraphUnavailableError())
        pair.truth.after["delete_many"] = failing(OutcomeUnknownError(), times=1)
        assert (await memories.store(**draft(1))).outcome is Outcome.ROLLED_BACK
        assert await memories.get("m0001", user_id=ALICE) is None


async def test_a_write_above_the_graph_is_undone_to_before_its_first(pair: Pair) -> None:
    """Rollback mode: a write that had to go above the graph is undone to what was there before, not to itself."""
    async with pair.service(rollback_on_partial_failure=True) as memories:
        await memories.store(**draft(1))
        pair.tenant().memories["m0001"].version += 10**9
        pair.graph.before["apply"] = failing(GraphUnavailableError(), first=3)
        result = await memories.update("m0001", user_id=ALICE, content="changed")
        assert result.outcome is Outcome.ROLLED_BACK
        there = await memories.get("m0001", user_id=ALICE)
        assert there is not None
        assert there.content == draft(1)["content"]


async def test_an_entry_from_before_the_graph_was_emptied_settles_nothing(pair: Pair) -> None:
    """A write that waits to be settled while a rebuild empties the graph settles nothing that is listed after it."""
    async with pair.service(settle_delay=10.0) as memories:
        await memories.store(**draft(1))
        pair.graph.before["apply"] = failing(GraphStoreError("The graph refused."), first=2)
        report = await AsyncSyncService(memories).rebuild_graph(user_id=ALICE, clear_existing=True)
        assert report.pending == 1
        await memories.parts.settler.flush()
        assert [entry.id for entry in await pair.truth.inner.outbox_page(dead=None, after=None, limit=9)] == ["m0001"]


async def test_a_memory_whose_entity_was_cut_is_repaired(pair: Pair) -> None:
    """The graph in memory: an entity that lost its edge and was removed as lone does not stop its memory's repair."""
    async with pair.service() as memories:
        await memories.store(**draft(1, relationships=[]))
        await asyncio.wait_for(memories.drain(), 5)
        pair.tenant().entities["Person", "person 1"].mentions.clear()
        sync = AsyncSyncService(memories)
        assert (await sync.repair_inconsistencies(Depth.FULL, dry_run=False)).check.found
        await sync.repair_inconsistencies(Depth.FULL, dry_run=False)
        assert (await sync.check_consistency(Depth.FULL)).in_step


async def _deleted_while_stopped(world: World, work: Callable[[AsyncPersistenceService], Any]) -> None:
    """Process 0 is stopped when it has read a memory; process 1 deletes it, and collects its tombstones."""
    await asyncio.sleep(5)
    stopped, other = world.slots
    one, two = stopped.memories, other.memories
    assert one is not None
    assert two is not None
    assert stopped.process is not None
    for name in NAMES:
        await two.store(id=name, user_id=ALICE, content=name, entities=[], embedding=[1.0, 1.0])
    await asyncio.sleep(5)
    going = world.spawn(stopped.process, 1, work(one))
    await asyncio.sleep(5)
    await two.delete("gone", user_id=ALICE)
    await asyncio.sleep(200)
    assert "gone" not in world.graph._tenants[ALICE].memories
    await asyncio.wait({going}, timeout=200)
    await two.drain()
    nodes = world.graph._tenants[ALICE].memories
    assert [name for name, node in nodes.items() if node.fragment is not None] == ["kept"]


NAMES = ("kept", "gone")
STOPPED = 300.0


def _meant(world: World) -> None:
    """Say that what the stories write is meant."""
    for name in NAMES:
        key = Key(ALICE, name)
        written = Intent(-1, key, (name, "{}", "[]"))
        world.oracle.intents[key] = [written, Intent(-1, key, (None, None, None), deletes=True)]


def test_a_rebuild_that_slept_brings_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was read before its process was stopped is not written when tombstones since may be gone."""

    async def story(world: World) -> None:
        _meant(world)
        monkeypatch.setattr(rebuild, "_page", stopping(world, 0, STOPPED, rebuild._page))
        await _deleted_while_stopped(world, lambda one: AsyncSyncService(one).rebuild_graph(user_id=ALICE, force=True))

    assert told(story) == []


def test_a_relay_that_slept_brings_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the relay read before its process was stopped is not written when tombstones since may be gone."""

    async def story(world: World) -> None:
        _meant(world)
        monkeypatch.setattr(relay, "_job", stopping(world, 0, STOPPED, relay._job))
        await _deleted_while_stopped(world, _forced)

    assert told(story) == []


async def _forced(memories: AsyncPersistenceService) -> None:
    """List both memories, and bring the graph up to them, as a repair does."""
    parts = memories.parts
    there = await parts.truth.store.read([Key(ALICE, name) for name in NAMES])
    doubts = [Doubt(*key, truth.version or 0) for key, truth in there.items()]
    await parts.relay.take(await parts.truth.store.enlist(doubts, lease=60.0))


def test_a_rebuild_that_lost_its_lease_empties_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild whose process was stopped before it emptied the graph leaves what another has filled since alone."""

    async def story(world: World) -> None:
        _meant(world)
        await asyncio.sleep(5)
        one, two = (slot.memories for slot in world.slots)
        process = world.slots[0].process
        assert one is not None
        assert two is not None
        assert process is not None
        await two.store(id="kept", user_id=ALICE, content="kept", entities=[], embedding=[1.0, 1.0])
        monkeypatch.setattr(conduct, "Rebuild", stopping(world, 0, STOPPED, conduct.Rebuild))
        going = world.spawn(process, 1, AsyncSyncService(one).rebuild_graph(user_id=ALICE, clear_existing=True))
        await asyncio.sleep(20)
        assert (await AsyncSyncService(two).rebuild_graph(user_id=ALICE, clear_existing=True)).complete
        await asyncio.wait({going})
        assert isinstance(going.exception(), LeaseLostError)

    assert told(story) == []


async def test_a_relay_that_is_woken_and_stopped_at_once_stops(pair: Pair) -> None:
    """Closing does not wait for ever where the relay is woken at the moment when it is cancelled."""
    async with pair.service(enable_relay=True) as memories:
        background = memories.parts.background
        assert background is not None
        await asyncio.sleep(0.05)
        memories.parts.relay.wake()
        await asyncio.sleep(0)
        background.cancel()
        await asyncio.wait({background}, timeout=2)
        assert background.cancelled()
