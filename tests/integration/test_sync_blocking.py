"""SyncService: the same calls, without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from uuid import uuid4

import pytest

from persistence import InvalidInputError, Key, PersistenceService, ServiceClosedError
from sync import AsyncSyncService, Depth, Pace, Progress, RunNotFoundError, RunState
from sync.blocking import SyncService
from tests.faults import drifts
from tests.faults.stores import ALICE, BOB, Stores, draft


def test_every_public_call_has_its_blocking_twin() -> None:
    """The blocking service has every public method of the other, with the same parameters and docstring."""
    names = [name for name in vars(AsyncSyncService) if not name.startswith("_")]
    assert len(names) > 10
    for name in names:
        ours, theirs = getattr(SyncService, name), getattr(AsyncSyncService, name)
        assert isinstance(ours, property) == isinstance(theirs, property)
        if isinstance(ours, property):
            assert ours.__doc__ == theirs.__doc__
            continue
        assert inspect.signature(ours) == inspect.signature(theirs), name
        assert ours.__doc__ == theirs.__doc__, name
        assert not inspect.iscoroutinefunction(ours), name


def test_all_calls(stores: Stores) -> None:
    """Each call does what its asynchronous twin does."""
    seen: list[Progress] = []
    with PersistenceService.connect(config=stores.config()) as memories:
        for user_id in (ALICE, BOB):
            memories.store_many([draft(number, user_id=user_id) for number in range(10)])
        sync = SyncService(memories)
        assert sync.check_consistency(Depth.FULL).in_step
        asyncio.run(drifts.missing(stores, [Key(ALICE, "m0003")]))
        report = sync.check_consistency(user_id=ALICE)
        assert report.found == 1
        assert len(sync.list_inconsistencies()) == 1
        assert sync.repair_inconsistencies(user_id=ALICE, dry_run=False, run_id=report.run_id).repaired == 1
        assert sync.full_sync("structure").in_step
        assert sync.rebuild_graph(user_id=BOB, progress=seen.append).memories == 10
        assert sync.get_run(report.run_id).state is RunState.DONE
        assert [run.id for run in sync.list_runs(user_id=ALICE)][-1] == report.run_id
        assert sync.get_stats().rebuilds == 1
        assert sync.prune(age=3_600) == 0
        for call in (sync.resume_run, sync.cancel_run, sync.get_run):
            with pytest.raises(RunNotFoundError):
                call(uuid4())
        with pytest.raises(InvalidInputError):
            sync.check_consistency("deepest")
    assert seen
    with pytest.raises(ServiceClosedError):
        sync.check_consistency()
    asyncio.run(stores.assert_in_step())


def test_an_interrupt_interrupts_the_run(stores: Stores) -> None:
    """Ctrl-C in the waiting thread interrupts the run, which the next call takes up; the service stays."""
    with PersistenceService.connect(config=stores.config(sync_batch=2)) as memories:
        memories.store_many([draft(number) for number in range(10)])
        sync = SyncService(memories)

        def interrupt(_: Progress) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            sync.rebuild_graph(progress=interrupt, pace=Pace(rows_per_second=2))
        assert sync.rebuild_graph().memories == 10
        assert [(run.state, run.attempts) for run in sync.list_runs()] == [(RunState.DONE, 2)]
