"""SyncService: the same calls for code without an event loop; they run in the loop of the service that they work on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from persistence.blocking import PersistenceService
from sync.service import AsyncSyncService

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncSyncService, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncService, P], T]:
    """Make the blocking twin of a method: same name, same parameters, same docstring."""

    @functools.wraps(method)
    def call(self: SyncService, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._memories.run(lambda service: method(AsyncSyncService(service), *args, **kwargs))

    return call


class SyncService:
    """Checks, repairs and rebuilds of the stores of one open service; calls block.

        with PersistenceService.connect() as memories:
            report = SyncService(memories).check_consistency()

    The methods are those of AsyncSyncService, where they are described. ``progress`` is called in the loop's thread. An
    interrupt of the waiting thread (Ctrl-C) interrupts the run, which can be resumed.
    """

    def __init__(self, memories: PersistenceService) -> None:
        self._memories = memories

    @property
    def memories(self) -> PersistenceService:
        """The open service whose stores are meant."""
        return self._memories

    check_consistency = _blocking(AsyncSyncService.check_consistency)
    repair_inconsistencies = _blocking(AsyncSyncService.repair_inconsistencies)
    full_sync = _blocking(AsyncSyncService.full_sync)
    rebuild_graph = _blocking(AsyncSyncService.rebuild_graph)
    resume_run = _blocking(AsyncSyncService.resume_run)
    cancel_run = _blocking(AsyncSyncService.cancel_run)
    get_run = _blocking(AsyncSyncService.get_run)
    list_runs = _blocking(AsyncSyncService.list_runs)
    list_inconsistencies = _blocking(AsyncSyncService.list_inconsistencies)
    get_stats = _blocking(AsyncSyncService.get_stats)
    prune = _blocking(AsyncSyncService.prune)
