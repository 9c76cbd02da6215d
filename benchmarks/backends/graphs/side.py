"""What a graph store can be asked for, through its adapter or by its driver alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from benchmarks.sides.raw import memory_write
from benchmarks.workload import Item
from persistence.drafting import projected
from persistence.ports.graph import GraphStore, GraphWrite

TIMEOUT = 120.0


class GraphSide(Protocol):
    """One way to a graph store. What the driver takes is made of a write while the clock runs."""

    async def open(self) -> None:
        """Connect, and make constraints, tables and indexes."""
        ...

    async def close(self) -> None:
        """Disconnect; a schema is removed."""
        ...

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        """Bring the graph up to these writes, in one transaction."""
        ...


class Adapter:
    """The adapter, called as the service calls it."""

    def __init__(self, graph: GraphStore) -> None:
        self._graph = graph

    async def open(self) -> None:
        await self._graph.open()

    async def close(self) -> None:
        await self._graph.close()

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        await self._graph.apply(writes, timeout=TIMEOUT)


def graph_write(item: Item, tenant: str) -> GraphWrite:
    """Return what the service makes of a memory of the workload, as a memory of ``tenant``."""
    made = projected(memory_write(replace(item, user_id=tenant)))
    version = time.time_ns() // 1000
    return GraphWrite(tenant, item.id, version, made.write.bucket, None, made.fragment)


def not_after() -> int:
    """Return the milliseconds since 1970 by which the graph has to have begun: late enough."""
    return int((time.time() + TIMEOUT) * 1000)
