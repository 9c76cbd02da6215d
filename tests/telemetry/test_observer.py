"""What an observer is told: calls with their outcomes, attempts, retries, the breaker, relay batches, runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persistence import (
    AsyncPersistenceService,
    GraphConflictError,
    GraphStoreError,
    InvalidInputError,
    MemoryNotFoundError,
    PersistenceConfig,
)
from persistence.graph.memory import FileGraph, MemoryGraph
from persistence.ports.observer import AdapterCall, BreakerChanged, Call, Part, RelayBatch, Retried, SyncRun
from persistence.vector.memory import MemoryStore
from persistence.watching import Watched
from sync import AsyncSyncService
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, draft, until
from tests.telemetry.conftest import Remembering

CONFIG = PersistenceConfig(embedding_dimension=8, retry_delay=0.001, breaker_probe=0.01, relay_backoff=0.01)


def service(observer: Any, **given: Any) -> AsyncPersistenceService:
    """Return a service in memory that tells an observer."""
    stores: dict[str, Any] = {"vector": "memory://", "graph": "memory://", "config": CONFIG, **given}
    return AsyncPersistenceService.connect(observer=observer, **stores)


async def test_a_call_and_what_it_did() -> None:
    """A write is told with its ids and outcome, the attempts on each part within it before it ends."""
    observer = Remembering()
    async with service(observer) as memories:
        result = await memories.store("Ada works at Babbage & Co.", user_id=ALICE)
        (call,) = observer.of(Call)
        assert (call.operation, call.user_id, call.memory_id) == ("store", ALICE, result.id)
        assert (call.outcomes, call.error) == ({"in_step": 1}, None)
        assert call.seconds > 0
        attempts = [(work.target.part, work.operation, work.size) for work in observer.of(AdapterCall)]
        assert attempts == [(Part.EMBEDDER, "embed", 1), (Part.EXTRACTOR, "extract", 1), (Part.TRUTH, "write", 1)]
        assert observer.ended[-1] is call


async def test_every_call_of_the_service_is_told() -> None:
    """Each write counts the memories that it wrote, each read says how it went."""
    observer = Remembering()
    async with service(observer) as memories:
        await memories.store_many([draft(number) for number in range(3)])
        await memories.update("m0000", user_id=ALICE, content="Otherwise.")
        await memories.delete("m0000", user_id=ALICE)
        await memories.get("m0001", user_id=ALICE)
        await memories.get_all(user_id=ALICE)
        await memories.search("Person", user_id=ALICE, expand=1)
        await memories.related("m0001", user_id=ALICE)
        await memories.neighbourhood("m0001", user_id=ALICE)
        await memories.count(user_id=ALICE)
        await memories.delete_all(user_id=ALICE)
    told = [(call.operation, dict(call.outcomes), call.memory_id) for call in observer.of(Call)]
    assert told == [
        ("store_many", {"in_step": 3}, None),
        ("update", {"in_step": 1}, "m0000"),
        ("delete", {"in_step": 1}, "m0000"),
        ("get", {"ok": 1}, "m0001"),
        ("get_all", {"ok": 1}, None),
        ("search", {"ok": 1}, None),
        ("related", {"ok": 1}, "m0001"),
        ("neighbourhood", {"ok": 1}, "m0001"),
        ("count", {"ok": 1}, None),
        ("delete_all", {"in_step": 2}, None),
    ]


async def test_a_call_that_raises() -> None:
    """What was refused is told without ids, since anything may stand there; other errors are told with them."""
    observer = Remembering()
    async with service(observer) as memories:
        with pytest.raises(InvalidInputError):
            await memories.delete("", user_id="a text that should not be here")
        with pytest.raises(MemoryNotFoundError):
            await memories.update("absent", user_id=ALICE, content="x")
    refused, absent = observer.of(Call)
    assert (refused.error, refused.outcomes, refused.user_id) == ("InvalidInputError", {"refused": 1}, None)
    assert (absent.error, absent.outcomes, absent.memory_id) == ("MemoryNotFoundError", {"refused": 1}, "absent")


async def test_a_cancelled_write_is_of_unknown_outcome() -> None:
    """A call that is cancelled in the middle is told as one that may have been done."""
    observer, truth = Remembering(), Hooked(MemoryStore())
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(_: int) -> None:
        reached.set()
        await never.wait()

    truth.before["write"] = hold
    async with service(observer, vector=truth) as memories:
        writing = asyncio.create_task(memories.store(**draft(1)))
        await reached.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert [(call.error, dict(call.outcomes)) for call in observer.of(Call)] == [("CancelledError", {"unknown": 1})]


async def test_retries_and_the_breaker(tmp_path: Any) -> None:
    """Each repeated call is told with part and error, and each change of the breaker once."""
    observer, graph = Remembering(), Hooked(FileGraph(tmp_path))
    graph.before["apply"] = failing(GraphConflictError(), times=2)
    async with service(observer, graph=graph) as memories:
        await memories.store(**draft(1))
        assert observer.events == [Retried(Part.GRAPH, "GraphConflictError")] * 2
        observer.events.clear()
        memories.parts.graph.breaker.failed()
        memories.parts.graph.breaker.failed()
        await until(_closed(memories), what="the relay's probe closes the breaker")
    assert observer.events == [BreakerChanged("open"), BreakerChanged("closed")]


def _closed(memories: AsyncPersistenceService) -> Any:
    async def closed() -> bool:
        return memories.parts.graph.breaker.state == "closed"

    return closed


async def test_relay_batches(tmp_path: Any) -> None:
    """A batch says how many entries came in step, how many failed, how many of these were given up."""
    observer, graph = Remembering(), Hooked(FileGraph(tmp_path))
    graph.before["apply"] = failing(GraphStoreError("No."), times=4)
    config = CONFIG.model_copy(update={"enable_relay": False, "relay_attempts": 1})
    async with service(observer, graph=graph, config=config) as memories:
        # The second attempt is of both, the third and the fourth of each alone; then the graph takes what is left.
        await memories.store_many([draft(1), draft(2)])
        await until(_due(memories), what="the writer has given up its leases")
        assert (await memories.drain()).dead == 2
        await memories.retry_dead(None)
        assert (await memories.drain()).dead == 0
    told = [(batch.entries, batch.applied, batch.failed, batch.dead) for batch in observer.of(RelayBatch)]
    assert told == [(2, 0, 2, 2), (2, 2, 0, 0)]


def _due(memories: AsyncPersistenceService) -> Any:
    async def due() -> bool:
        wait = await memories.parts.truth.store.next_due()
        return wait is not None and wait <= 0

    return due


async def test_a_run(tmp_path: Any) -> None:
    """A run is told with the state it was left in and what it found, also where its call was cancelled."""
    observer, graph = Remembering(), Hooked(FileGraph(tmp_path))
    async with service(observer, graph=graph) as memories:
        await memories.store_many([draft(number) for number in range(3)])
        sync = AsyncSyncService(memories)
        await sync.check_consistency(user_id=ALICE)
        await memories.drain()
        while await graph.inner.clear(ALICE, limit=100, timeout=60):
            pass
        await sync.repair_inconsistencies("structure", dry_run=False)
        reached, never = asyncio.Event(), asyncio.Event()

        async def hold(_: int) -> None:
            reached.set()
            await never.wait()

        graph.before["bucket_sums"] = hold
        checking = asyncio.create_task(sync.check_consistency())
        await reached.wait()
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
    told = [(r.kind, r.depth, r.user_id, r.state, r.complete, dict(r.found), r.error) for r in observer.of(SyncRun)]
    assert told == [
        ("check", "quick", ALICE, "done", True, {}, None),
        ("repair", "structure", None, "done", True, {"missing_in_graph": 3}, None),
        ("check", "quick", None, "interrupted", None, {}, "CancelledError"),
    ]


async def test_a_defect_of_the_observer_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that always raises is logged once as an error, and every call goes on as without it."""
    async with service(Remembering(RuntimeError("a defect"))) as memories:
        for number in range(3):
            assert (await memories.store(**draft(number))).outcome == "in_step"
        assert (await AsyncSyncService(memories).check_consistency()).in_step
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.message for record in errors] == ["The observer of this service failed; the work goes on."]


async def test_without_an_observer_nothing_stands_between() -> None:
    """The adapters are the caller's own where nobody listens, and have the telling before them where somebody does."""
    truth, graph = MemoryStore(), MemoryGraph()
    async with service(None, vector=truth, graph=graph) as memories:
        assert memories.parts.truth.store is truth
        assert memories.parts.graph.store is graph
    async with service(Remembering(), vector=MemoryStore(), graph=graph) as memories:
        assert isinstance(memories.parts.truth.store, Watched)
        assert memories.parts.truth.store.kind == "memory"
