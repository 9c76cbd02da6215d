"""PersistenceService: the same calls, without an event loop, from any thread."""

from __future__ import annotations

import _thread
import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest

from persistence import (
    AsyncPersistenceService,
    InvalidInputError,
    Outcome,
    PersistenceService,
    Progress,
    ServiceClosedError,
)
from tests.faults.stores import ALICE, Stores, draft, vector


def _check(stores: Stores) -> None:
    asyncio.run(stores.assert_in_step())


def test_every_public_call_has_its_blocking_twin() -> None:
    """The blocking service has every public method of the other, with the same parameters."""
    calls = vars(AsyncPersistenceService).items()
    names = [name for name, value in calls if not name.startswith("_") and not isinstance(value, property)]
    for name in names:
        ours, theirs = getattr(PersistenceService, name), getattr(AsyncPersistenceService, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name


def test_all_calls(stores: Stores) -> None:
    """Each call does what its asynchronous twin does."""
    seen: list[Progress] = []
    with PersistenceService.connect(config=stores.config(enable_relay=True)) as memories:
        assert memories.store(**draft(0)).outcome is Outcome.IN_STEP
        assert len(memories.store_many([draft(n) for n in range(6)], progress=seen.append)) == 6
        assert memories.update("m0001", user_id=ALICE, content="new").memory == memories.get("m0001", user_id=ALICE)
        assert memories.delete("m0002", user_id=ALICE).changed
        assert len(memories.get_all(user_id=ALICE).memories) == 5
        assert memories.search(vector(3), user_id=ALICE, limit=1)[0].memory.id == "m0003"
        assert [hit.memory.id for hit in memories.related("m0000", user_id=ALICE)] == ["m0003"]
        memories.wait_until_in_step("m0000", user_id=ALICE)
        assert memories.neighbourhood("m0000", user_id=ALICE) is not None
        assert memories.count(user_id=ALICE).value == 5
        assert memories.get_health().graph.kind == "neo4j"
        assert memories.get_stats().vector.value == 5
        assert memories.drain().pending == 0
        assert memories.dead_letters() == []
        with memories.bulk_load() as put_off:
            assert not put_off
        with pytest.raises(InvalidInputError):
            memories.get("", user_id=ALICE)
        assert memories.delete_all(user_id=ALICE).deleted == 5
        memories.drain()
    assert seen == [Progress(6, 6)]
    with pytest.raises(ServiceClosedError):
        memories.get("m0000", user_id=ALICE)
    memories.close()
    _check(stores)


def test_from_several_threads(stores: Stores) -> None:
    """Eight threads share one service."""
    with PersistenceService.connect(config=stores.config()) as memories, ThreadPoolExecutor(8) as pool:

        def work(thread: int) -> None:
            for number in range(20):
                memories.store(**draft(thread * 20 + number))
                memories.get(f"m{number:04}", user_id=ALICE)

        list(pool.map(work, range(8)))
        assert memories.count(user_id=ALICE).value == 160
        memories.drain()
    _check(stores)


def test_a_service_that_does_not_open_leaves_no_thread(stores: Stores) -> None:
    """Where a store cannot be reached, opening raises, and another attempt is possible."""
    config = stores.config(vector_url="postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=1.0)
    memories = PersistenceService.connect(config=config)
    for _ in range(2):
        with pytest.raises(Exception, match="No PostgreSQL server"):
            memories.open()
    with pytest.raises(ServiceClosedError):
        memories.get("m0000", user_id=ALICE)


def test_an_interrupt_cancels_the_call(stores: Stores) -> None:
    """Ctrl-C in the waiting thread cancels the call in the loop; what truth had stays, and so does the service."""
    with PersistenceService.connect(config=stores.config()) as memories:

        def interrupt(_: Progress) -> None:
            _thread.interrupt_main()

        with pytest.raises(KeyboardInterrupt):
            memories.store_many([draft(number) for number in range(5)], progress=interrupt)
        assert memories.count(user_id=ALICE).value == 5
        memories.drain()
    _check(stores)
