"""Memory: a check's is that of a batch, however much there is; by RLIMIT_AS in a process of its own."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.faults.resources.filling import fill
from tests.faults.resources.test_descriptors import limited
from tests.faults.stores import StoresOnPostgres

#: Megabytes of address space above what the open service takes, and by which the larger peak may exceed the smaller.
ROOM, MORE = 512, 48


async def peak(stores: StoresOnPostgres, number: int, depth: str) -> float:
    """Check so many memories, a tenth of them missing in the graph; return the megabytes that it took at its peak."""
    async with stores.service():
        left_out = await fill(stores, number)
    said = await asyncio.to_thread(limited, stores, "check", megabytes=ROOM, depth=depth)
    assert (said["complete"], said["found"], said["checked"]) == (True, left_out, number)
    return said["peak_mb"]


async def _clear(stores: StoresOnPostgres) -> None:
    await stores.rows("TRUNCATE memories, outbox, inconsistencies")
    await stores.graph_rows("TRUNCATE memories, mentions, edges, entities")


async def grown(stores: StoresOnPostgres, small: int, large: int, depth: str) -> tuple[float, float]:
    """Return the peaks of two sizes."""
    first = await peak(stores, small, depth)
    await _clear(stores)
    second = await peak(stores, large, depth)
    sys.stdout.write(f"{depth}: {small:,} memories took {first} MB at the peak, {large:,} took {second} MB\n")
    return first, second


@pytest.mark.parametrize("stores", ["pgvector+postgres"], indirect=True)
async def test_a_check_takes_the_memory_of_a_batch(stores: StoresOnPostgres) -> None:
    """Eight times as many memories, and as much drift, take no more memory."""
    first, second = await grown(stores, 400, 3_000, "full")
    assert second < first + MORE


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("depth", ["quick", "full"])
@pytest.mark.parametrize("stores", ["pgvector+postgres"], indirect=True)
async def test_a_check_of_a_million_within_a_limit(stores: StoresOnPostgres, depth: str) -> None:
    """A check of 1,000,000 memories with 100,000 missing ends well with 512 MB, and takes what 50,000 take."""
    first, second = await grown(stores, 50_000, 1_000_000, depth)
    assert second < first + MORE
