"""One memory at a time: how long a ``store`` takes beside the same statements without the service."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.results import Line, Section, Target, percentile
from benchmarks.sides.side import Side
from benchmarks.workload import Workload

RATIO = 1.25


@dataclass(frozen=True, slots=True)
class Sizes:
    """``writes`` are measured on each side, in turns of ``block``, after ``warm_up`` writes that are not."""

    writes: int
    warm_up: int
    block: int = 25


@dataclass(slots=True)
class _Timed:
    side: Side
    seconds: list[float] = field(default_factory=list)

    async def turn(self, work: Workload, count: int) -> None:
        """Write ``count`` memories, one after another; what is left in the background is waited for, untimed."""
        items = work.items(count, f"single {self.side.name}")
        ready = [await self.side.ready([item]) for item in items]
        for one in ready:
            started = time.perf_counter()
            await self.side.store(one)
            self.seconds.append(time.perf_counter() - started)
        await self.side.rest()


async def measure(sides: Sequence[Side], sizes: Sizes, seed: int) -> Section:
    """Write in turns (ABCABC…), each side the same stream of memories. The first side is ours, the second raw."""
    timed = [_Timed(side) for side in sides]
    work = [Workload(seed) for _ in sides]
    for one in timed:
        await one.side.empty()
    await _turns(timed, work, sizes.warm_up, sizes.block)
    for one in timed:
        one.seconds.clear()
    late = sides[0].late
    await _turns(timed, work, sizes.writes, sizes.block)
    section = _section(timed, sizes)
    if sides[0].late > late:
        section.notes.append(f"{sides[0].late - late} of the service's writes were pending: their times are too short")
    return section


async def _turns(timed: Sequence[_Timed], work: Sequence[Workload], count: int, block: int) -> None:
    for start in range(0, count, block):
        for one, stream in zip(timed, work, strict=True):
            await one.turn(stream, min(block, count - start))


def _section(timed: Sequence[_Timed], sizes: Sizes) -> Section:
    raw = timed[1].seconds
    section = Section("store", f"store: one memory, {sizes.writes} on each side, in turns of {sizes.block}")
    for one in timed:
        p50, p95 = percentile(one.seconds, 0.5), percentile(one.seconds, 0.95)
        figures = {
            "p50_ms": p50 * 1000,
            "p95_ms": p95 * 1000,
            "p50_to_raw": p50 / percentile(raw, 0.5),
            "p95_to_raw": p95 / percentile(raw, 0.95),
        }
        section.lines.append(Line(one.side.name, figures))
        section.samples[f"{one.side.name} seconds"] = one.seconds
    section.targets.append(
        Target("store, p50 to the raw pair", section.lines[0].figures["p50_to_raw"], RATIO, at_most=True)
    )
    return section
