"""A process that works on both stores and records it: ``python -m tests.faults.histories.worker JSON``.

It takes a line of standard input as an order: ``work``, ``rest``; and ends with it. It says ``working`` and ``resting``
on standard output when it does so. Nothing that a store does ends it, and nothing of it is flushed when it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from persistence import AsyncPersistenceService, PersistenceConfig, PersistenceError, relay, writing
from sync import AsyncSyncService
from tests.faults.histories.calls import Calls
from tests.faults.histories.records import Recorder
from tests.faults.stores import DIMENSION

#: Calls under way at once in one process.
CLIENTS = 3
#: Seconds until a store is tried again that could not be opened.
AGAIN = 0.3


@dataclass(frozen=True)
class Spec:
    """What a worker is told: its stores, its place among the others, and how long a dead one's work stays its own.

    ``number`` and ``life``: which worker, and the how-manieth process of it. ``leases``: seconds that a writer's lease
    lasts beyond its call, and the relay's own; None: as they are in the product.
    """

    vector_url: str
    graph_url: str
    schema_name: str
    folder: str
    seed: int
    number: int = 0
    life: int = 0
    settings: tuple[tuple[str, Any], ...] = ()
    leases: tuple[float, float] | None = None
    sync_every: float = 5.0

    @classmethod
    def of(cls, text: str) -> Self:
        """Read it from JSON."""
        given = json.loads(text)
        settings = tuple((name, value) for name, value in given.pop("settings"))
        return cls(**{**given, "settings": settings, "leases": given["leases"] and tuple(given["leases"])})

    @property
    def name(self) -> str:
        """The name of the process."""
        return f"w{self.number}.{self.life}"

    def config(self) -> PersistenceConfig:
        """Return the settings of a service on both stores."""
        urls = {"vector_url": self.vector_url, "graph_url": self.graph_url, "schema_name": self.schema_name}
        return PersistenceConfig(**{**urls, "embedding_dimension": DIMENSION, **dict(self.settings)})


class Worker:
    """Some clients and a caller of checks, on one open service, who work while there is an order to."""

    def __init__(self, memories: AsyncPersistenceService, spec: Spec, recorder: Recorder) -> None:
        self._spec = spec
        self._order = asyncio.Event()
        self._busy = 0
        numbers = itertools.count()
        sync = AsyncSyncService(memories)
        self._calls = [
            Calls(memories, sync, recorder, random.Random(f"{spec.seed} {spec.name} {client}"), spec.name, numbers)
            for client in range(CLIENTS + 1)
        ]

    async def run(self) -> None:
        """Work as ordered, until the orders end."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._client(calls)) for calls in self._calls[:-1]]
            tasks.append(group.create_task(self._checker(self._calls[-1])))
            async for order in _orders():
                await self._obey(order)
            self._order.clear()
            await self._rested()
            for task in tasks:
                task.cancel()

    async def _obey(self, order: str) -> None:
        if order == "work":
            self._order.set()
            _say("working")
        else:
            self._order.clear()
            await self._rested()
            _say("resting")

    async def _rested(self) -> None:
        while self._busy:  # noqa: ASYNC110 - a matter of a call's deadline, at the end of a round
            await asyncio.sleep(0.01)

    async def _client(self, calls: Calls) -> None:
        while True:
            await self._turn(calls.one)
            await asyncio.sleep(calls.chance.uniform(0.0, 0.02))

    async def _checker(self, calls: Calls) -> None:
        while True:
            await asyncio.sleep(calls.chance.uniform(0.5, 1.5) * self._spec.sync_every)
            await self._turn(calls.check)

    async def _turn(self, call: Callable[[], Awaitable[None]]) -> None:
        await self._order.wait()
        self._busy += 1
        try:
            await call()
        finally:
            self._busy -= 1


async def _orders() -> AsyncIterator[str]:
    """Yield the lines of standard input until it ends, which it does with the process at its other side."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield line.decode().strip()
    finally:
        transport.close()


def _say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def _shorten_leases(writers: float, relays: float) -> None:
    """Leases are for efficiency, never for safety: a short run need not wait for those of the dead."""
    writing.LEASE_MARGIN = writers  # type: ignore[misc]
    relay.LEASE = relays  # type: ignore[misc]


async def main(spec: Spec) -> None:
    """Open the stores, as often as it takes, and work."""
    if spec.leases:
        _shorten_leases(*spec.leases)
    memories = AsyncPersistenceService.connect(config=spec.config())
    while True:
        try:
            await memories.open()
        except PersistenceError:
            await asyncio.sleep(AGAIN)
        else:
            break
    with Recorder(Path(spec.folder) / f"{spec.name}.jsonl") as recorder:
        async with memories:
            await Worker(memories, spec, recorder).run()


if __name__ == "__main__":
    asyncio.run(main(Spec.of(sys.argv[1])))
