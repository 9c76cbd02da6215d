"""Pairs of stores on which operations are tried: each can be opened again and again, by one process after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistence.graph.memory import FileGraph, MemoryGraph
from persistence.ports.capabilities import Capability
from persistence.vector.memory import FileStorage, MemoryStore
from persistence.vector.memory.storage import Storage
from tests.faults.simulator.ports import SharedGraph
from tests.faults.stores import Stores

Adapter = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pair is. ``later``: let the time pass for which a writer that gave up has entries for itself.

    ``hang``: what a call does that is not answered. ``own``: each case has one for itself.
    """

    vector: Adapter
    graph: Adapter
    later: Callable[[], Awaitable[None]]
    hang: Callable[[], Awaitable[None]]
    own: bool = False


class _Lasting(Storage):
    """Truth in memory that outlives a process of a test, as a server does."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities | {Capability.DURABLE, Capability.SHARED}

    @property
    def weaknesses(self) -> list[str]:
        return []


class Clock:
    """The clock of deadlines, where time is real: a call that hangs takes it beyond all of them."""

    #: More than any call may take, and less than what was read of truth may be told to the graph for.
    BEYOND = 130.0

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    async def hang(self) -> None:
        """Be not answered: what whoever waits is told at its deadline."""
        self._ahead += self.BEYOND
        raise TimeoutError


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _a_while() -> None:
    await asyncio.sleep(90)


def in_memory(*, registered: bool) -> Place:
    """Return truth in memory, and a graph in memory: truth's registered copy, or each process's own projection."""
    storage = _Lasting(clock=lambda: time.time_ns() // 1_000)
    shared = SharedGraph()
    graph: Adapter = (lambda: shared) if registered else MemoryGraph
    return Place(lambda: MemoryStore(storage), graph, _a_while, _for_ever, own=True)


async def _nothing() -> None:
    """There is no such time: the graph has no say over the outbox."""


def in_files(folder: Path, clock: Clock) -> Place:
    """Return a truth and a graph in files, which one process after another opens."""
    passed = 0.0

    async def later() -> None:
        nonlocal passed
        passed += 90.0

    storage = FileStorage(folder / "truth", clock=lambda: round((time.time() + passed) * 1_000_000))
    graph = FileGraph(folder / "graph", clock=lambda: time.time() + passed)
    return Place(lambda: MemoryStore(storage), lambda: graph, later, clock.hang)


def on(stores: Stores, clock: Clock) -> Place:
    """Return a test's stores."""
    return Place(stores.vector, stores.graph, stores.end_leases, clock.hang)


def beside_memory(vector: Adapter, clock: Clock) -> Place:
    """Return a truth with a graph in the process's memory."""
    return Place(vector, MemoryGraph, _nothing, clock.hang)
