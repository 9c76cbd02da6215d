"""Many memories: ``store_many`` beside the same COPY and Cypher without the service, and beside the naive pair."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.results import Line, Section, Target
from benchmarks.sides.side import Side
from benchmarks.workload import Item, Workload

TO_RAW = 0.7
TO_NAIVE = 1.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """``memories`` in a call, ``repetitions`` on each side after one of ``warm_up`` memories that is not counted."""

    memories: int
    warm_up: int
    repetitions: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write many: with the vector index kept up, or built afterwards."""

    name: str
    title: str
    call: Callable[[Side], Callable[[Any], Awaitable[None]]]


WAYS = (
    Way("store_many", "store_many, HNSW index in place", lambda side: side.store_many),
    Way("bulk_load", "store_many into an empty store, HNSW index built afterwards (included)", lambda side: side.load),
)


async def measure(way: Way, sides: Sequence[Side], sizes: Sizes, seed: int, say: Callable[[str], None]) -> Section:
    """Write in turns (ABCABC…), the same memories on each side: ours, raw and, where it is given, naive.

    ``say`` is told the time of each turn.
    """
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    await _turn(way, list(reversed(sides)), sizes.warm_up, Workload(seed), "warm")
    work = Workload(seed + 1)
    for repetition in range(sizes.repetitions):
        for name, taken in (await _turn(way, sides, sizes.memories, work, f"{repetition}")).items():
            seconds[name].append(taken)
            say(f"{way.name} {repetition + 1} of {sizes.repetitions}, {name}: {taken:.2f} s")
    return _section(way, sizes, seconds)


async def _turn(way: Way, sides: Sequence[Side], count: int, work: Workload, mark: str) -> dict[str, float]:
    items = work.items(count, f"{way.name} {mark}")
    return {side.name: await _time(way, side, items) for side in sides}


async def _time(way: Way, side: Side, items: Sequence[Item]) -> float:
    """Write the items as a tenant of this side's own, into an empty table; check that all arrived."""
    tenant = f"{items[0].user_id} {side.name}"
    mine = [Item(i.id, tenant, i.content, i.entities, i.relationships, i.embedding) for i in items]
    await side.empty()
    late = side.late
    ready = await side.ready(mine)
    started = time.perf_counter()
    await way.call(side)(ready)
    taken = time.perf_counter() - started
    if side.late > late:
        raise RuntimeError(
            f"{side.late - late} memories of {side.name} were pending: the time is that of another thing"
        )
    await side.rest()
    found = await side.counts(tenant)
    if found != (len(mine), len(mine), 2 * len(mine)):
        raise RuntimeError(f"{side.name} wrote {found} of {len(mine)}: rows, memories in the graph, edges")
    return taken


def _section(way: Way, sizes: Sizes, seconds: dict[str, list[float]]) -> Section:
    middle = {name: median(taken) for name, taken in seconds.items()}
    ours, raw, *naive = middle.values()
    section = Section(way.name, f"{way.title}: {sizes.memories:,} memories, median of {sizes.repetitions}")
    for name, taken in middle.items():
        figures = {"memories_per_s": sizes.memories / taken, "seconds": taken, "to_raw": raw / taken}
        if naive:
            figures["to_naive"] = naive[0] / taken
        section.lines.append(Line(name, figures))
        section.samples[f"{name} seconds"] = seconds[name]
    section.targets = [Target(f"{way.name}, rate to raw COPY and UNWIND", raw / ours, TO_RAW, at_most=False)]
    section.targets += [
        Target(f"{way.name}, rate to the naive pair", other / ours, TO_NAIVE, at_most=False) for other in naive
    ]
    return section
