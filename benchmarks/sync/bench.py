"""All that is measured of checks, repairs and rebuilds, on one filling of both stores."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable

import neo4j

from benchmarks.results import Section
from benchmarks.servers import Urls
from benchmarks.sync import quick, rebuild, repair, singly, structure, tenant
from benchmarks.sync.filling import plan
from benchmarks.sync.stage import Stage, staged
from sync import Depth

Say = Callable[[str], None]


async def measure(
    urls: Urls, driver: neo4j.AsyncDriver, schema: str, memories: int, seed: int, say: Say
) -> AsyncIterator[Section]:
    """Fill, measure, and see at the end that everything is in step."""
    planned, started = plan(memories, seed), time.perf_counter()
    say(f"Filling both stores with {planned.memories:,} memories of {len(planned.tenants):,} tenants …")
    async with staged(planned, urls, driver, schema, say) as stage:
        say(f"Filled in {time.perf_counter() - started:.0f} s; checking that it is in step …")
        await stage.check_all(depth=Depth.STRUCTURE)
        async for section in _sections(stage):
            section.notes.append(f"load of the machine in the last minute: {os.getloadavg()[0]:.1f}")
            yield section
        await stage.check_all(depth=Depth.STRUCTURE)


async def _sections(stage: Stage) -> AsyncIterator[Section]:
    one = await singly.measure(stage)
    section, in_step = await quick.measure(stage, one)
    yield section
    yield await tenant.measure(stage)
    yield await structure.measure(stage, one)
    yield await repair.measure(stage, in_step)
    yield await rebuild.measure(stage)
