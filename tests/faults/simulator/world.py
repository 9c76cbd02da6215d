"""The simulated world: two stores, the network between, and processes that are born, stopped and killed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.errors import PersistenceError
from persistence.ports.extractor import Extraction
from persistence.vector.memory import MemoryStore
from sync import AsyncSyncService
from tests.faults.simulator.faults import OPERATION, Faults
from tests.faults.simulator.loop import PROCESS, Loop, Process
from tests.faults.simulator.oracle import Oracle
from tests.faults.simulator.ports import RemoteGraph, RemoteTruth, Server
from tests.faults.simulator.storage import WatchedGraph, WatchedStorage
from tests.faults.simulator.trace import Trace

DIMENSION = 2
#: Seconds after which a process that could not open its stores tries again.
AGAIN = 1.0


class SmallEmbedder:
    """Gives every text the same vector: nearness is not what is looked at here."""

    model = "simulated"
    dimension = DIMENSION

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        await asyncio.sleep(0)
        return np.ones((len(texts), DIMENSION), dtype=np.float32)

    async def close(self) -> None:
        """Nothing to close."""


class NoExtractor:
    """Is never asked: the workload says what the entities are."""

    model = "none"

    async def extract(self, texts: Sequence[str]) -> list[Extraction]:
        raise AssertionError(f"nobody asks for entities here: {texts}")

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Slot:
    """A place where a process runs, one after the other."""

    number: int
    births: int = 0
    process: Process | None = None
    memories: AsyncPersistenceService | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process that has opened its stores and runs."""
        return self.memories is not None and self.process is not None and not self.process.stopped


class World:
    """Everything there is."""

    def __init__(
        self, loop: Loop, faults: Faults, config: PersistenceConfig, slots: int, *, keep: bool = False
    ) -> None:
        self.loop = loop
        self.faults = faults
        self.config = config
        self.trace = Trace(loop.time, keep=keep)
        self.skew = 0.0
        self.graph = WatchedGraph(clock=loop.time)
        self.oracle = self.graph.oracle = Oracle(self.graph)
        self.storage = WatchedStorage(self.oracle, lambda: round((loop.time() + self.skew) * 1e6))
        self.truth_server = Server("truth", loop, self.trace)
        self.graph_server = Server("graph", loop, self.trace)
        self.poisoned: set[tuple[str, str]] = set()
        self.slots = [Slot(number) for number in range(slots)]
        self.ghosts: set[str] = set()

    # --- processes --------------------------------------------------------------------------------------------------

    def spawn(self, process: Process, operation: int, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in a process, as a part of an operation."""
        context = copy_context()
        context.run(PROCESS.set, process)
        context.run(OPERATION.set, operation)
        return self.loop.create_task(work, context=context)

    def adapters(self) -> tuple[RemoteTruth, RemoteGraph]:
        """Return adapters of a new process."""
        return (
            RemoteTruth(MemoryStore(self.storage), self.truth_server, self.faults, self.oracle.origin),
            RemoteGraph(self.graph, self.graph_server, self.faults, self.poisoned),
        )

    def born(self, slot: Slot, operation: int) -> asyncio.Task[Any]:
        """Let a process begin in a slot that has none."""
        slot.births += 1
        slot.process = Process(f"p{slot.number}.{slot.births}")
        self.trace.add("born", slot.process.name)
        return self.spawn(slot.process, operation, self._open(slot))

    async def _open(self, slot: Slot) -> None:
        process = slot.process
        while True:
            truth, graph = self.adapters()
            memories = AsyncPersistenceService.connect(
                truth, graph, embedder=SmallEmbedder(), extractor=NoExtractor(), config=self.config
            )
            try:
                await memories.open()
            except PersistenceError:
                await asyncio.sleep(AGAIN)
            else:
                if slot.process is process:
                    slot.memories = memories
                return

    def kill(self, slot: Slot) -> None:
        """End a process where it stands: no code of it runs any more, and what it held stays held."""
        if slot.process is not None:
            self.trace.add("killed", slot.process.name)
            slot.process.dead = True
        slot.process = slot.memories = None

    def stop(self, slot: Slot, seconds: float) -> None:
        """Stop a process for a while; then it goes on as if nothing had been."""
        process = slot.process
        if process is not None and not process.stopped:
            self.trace.add("stopped", process.name, seconds)
            process.stopped = True
            self.loop.call_later(seconds, self.loop.go_on, process, context=Context())  # nobody's, so it is not stopped

    def sync(self, slot: Slot) -> AsyncSyncService:
        """Return the checks and repairs of the process in a slot."""
        if slot.memories is None:
            raise AssertionError("there is no process here")
        return AsyncSyncService(slot.memories)
