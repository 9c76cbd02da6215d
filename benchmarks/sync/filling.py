"""What is put into both stores: past the service, which would take an hour for a million, and what it would have put.

A tenth of the memories is one large tenant's, another tenth that of small ones of a thousand; these have entities and
relationships. The rest is of small tenants without. Memories of all tenants come in one shuffled order, as in life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from benchmarks.sides.raw import COPY, memory_write
from benchmarks.workload import DIMENSION, Item, Workload
from persistence.drafting import Prepared, projected
from persistence.ports.graph import GraphStore, GraphWrite
from persistence.ports.vector import WriteReceipt, Written
from persistence.vector.pgvector import index, rows

#: Memories of a small tenant, and in one transaction of the graph.
SMALL, BATCH = 1_000, 2_000
#: Parts into which all memories are divided: one is the large tenant's, one that of small tenants with entities.
PARTS = 10
#: All were written at the beginning of this year, a microsecond after another.
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
#: Versions are microseconds since 1970.
FIRST_VERSION = int(SINCE.timestamp()) * 1_000_000
GRAPH_TIME = 120.0
SAID_EVERY = 100_000


@dataclass(frozen=True, slots=True)
class Tenant:
    """``linked``: its memories have entities and relationships."""

    user_id: str
    memories: int
    linked: bool
    seed: int

    def lines(self) -> Iterator[dict[str, Any]]:
        """Make its memories, always the same ones."""
        return Workload(self.seed).lines(self.memories, self.user_id, linked=self.linked)


@dataclass(frozen=True, slots=True)
class Made:
    """One memory as truth has it."""

    prepared: Prepared
    receipt: WriteReceipt

    def graph_write(self) -> GraphWrite:
        """Return what the graph is told of it."""
        return self.prepared.graph_write(self.receipt)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who has which memories; the large tenant comes first."""

    seed: int
    tenants: tuple[Tenant, ...]

    @property
    def memories(self) -> int:
        """How many there are of all tenants."""
        return sum(tenant.memories for tenant in self.tenants)

    @property
    def large(self) -> Tenant:
        """The large tenant."""
        return self.tenants[0]

    @property
    def small(self) -> Tenant:
        """A small tenant whose memories have entities."""
        return self.tenants[1]

    @property
    def linked(self) -> list[Tenant]:
        """The tenants whose memories have entities."""
        return [tenant for tenant in self.tenants if tenant.linked]

    def chunks(self) -> Iterator[list[Made]]:
        """Make everything, in batches."""
        streams = [tenant.lines() for tenant in self.tenants]
        made = (_made(next(streams[which]), place) for place, which in enumerate(self._order().tolist()))
        while chunk := list(islice(made, BATCH)):
            yield chunk

    def of_large(self) -> Iterator[Made]:
        """Make the large tenant's memories once more, as they were made among the others."""
        places = np.flatnonzero(self._order() == 0).tolist()
        return (_made(line, place) for line, place in zip(self.large.lines(), places, strict=True))

    def _order(self) -> npt.NDArray[np.int64]:
        """Return whose memory each one is."""
        sizes = [tenant.memories for tenant in self.tenants]
        return np.random.default_rng(self.seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def plan(memories: int, seed: int) -> Plan:
    """Divide about so many memories among tenants."""
    part = memories // PARTS // SMALL
    tenants = [Tenant("large", part * SMALL, linked=True, seed=seed)]
    tenants += [
        Tenant(f"small {number:04}", SMALL, linked=number < part, seed=seed * 1_000_000 + number + 1)
        for number in range(part * (PARTS - 1))
    ]
    return Plan(seed, tuple(tenants))


async def fill(
    planned: Plan,
    db: psycopg.AsyncConnection[Any],
    graph: GraphStore,
    say: Callable[[str], None],
) -> None:
    """Write everything into both stores, the next batch being made meanwhile. The vector index goes."""
    await index.drop(db)
    chunks, done = planned.chunks(), 0
    ahead = _next(chunks)
    while chunk := await ahead:
        ahead = _next(chunks)
        packed = rows.pack_writes([made.prepared.write for made in chunk], DIMENSION)
        writes = [made.graph_write() for made in chunk]
        await asyncio.gather(_copy(db, chunk, packed), graph.apply(writes, timeout=GRAPH_TIME))
        done += len(chunk)
        if done % SAID_EVERY == 0:
            say(f"{done:,} of {planned.memories:,} memories are in both stores")
    # What the server would do in the background soon is done now, so that nobody's time is spent on it.
    await db.execute("VACUUM (ANALYZE) memories")
    await db.execute("CHECKPOINT")


def _next(chunks: Iterator[list[Made]]) -> asyncio.Future[list[Made] | None]:
    return asyncio.ensure_future(asyncio.to_thread(next, chunks, None))


async def _copy(db: psycopg.AsyncConnection[Any], chunk: list[Made], packed: list[bytes]) -> None:
    file = [row + rows.pack_times(*made.receipt.stamp) for made, row in zip(chunk, packed, strict=True)]
    async with db.cursor() as cursor, cursor.copy(COPY) as copy:
        await copy.write(rows.pack_file(file))


_EMBEDDING = np.random.default_rng(0).standard_normal(DIMENSION, dtype=np.float32)


def _made(line: dict[str, Any], place: int) -> Made:
    """Return one memory, written as the ``place``-th of all. Only its width matters of the embedding."""
    moment = SINCE + timedelta(microseconds=place)
    prepared = projected(memory_write(Item(**line, embedding=_EMBEDDING)))
    return Made(prepared, WriteReceipt(Written.WRITTEN, FIRST_VERSION + place, moment, moment))
