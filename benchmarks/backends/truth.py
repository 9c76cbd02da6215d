"""One vector store beside its own client: single writes, batches, searches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from benchmarks.backends.truths.arrays import Matrix
from benchmarks.backends.truths.side import Record, TruthSide
from benchmarks.backends.turns import Call, Pair, compared
from benchmarks.results import Line, Section, Target
from benchmarks.workload import Item, Workload
from persistence.records import Vector

BATCH = 1_000
WARM_UP = 50
BLOCK = 25
LIMITS = (10, 100)
QUERIES = 60
#: Searches of one side before it is the other's turn.
QUERY_BLOCK = 5
TENANT = "many"


@dataclass(frozen=True, slots=True)
class Truth:
    """A vector store: ours and raw. ``bound``: of both ratios of writes, None where none is wanted."""

    name: str
    ours: TruthSide
    raw: TruthSide
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """``writes`` single ones, ``memories`` in batches; searches are among twice as many."""

    writes: int
    memories: int

    @property
    def batch(self) -> int:
        """How many are written at once."""
        return min(BATCH, self.memories)


@dataclass(slots=True)
class _Searched:
    """Searches of one limit, and the share of the nearest that each side found."""

    pair: Pair
    ours: float
    raw: float


async def measure(truth: Truth, sizes: Sizes, seed: int, say: Callable[[str], None]) -> Section:
    """Measure on empty stores; batches first, so that searches and single writes meet a store that holds something."""
    say(f"Measuring {truth.name} …")
    work = Workload(seed)
    async with _opened(truth):
        await _singly(truth, work.items(WARM_UP, "warm"))
        items = work.items(2 * sizes.memories, TENANT)
        many = await _in_batches(truth, items[: sizes.memories], sizes.batch)
        await _in_batches(truth, items[sizes.memories :], sizes.batch)
        found = {limit: await _searches(truth, items, work, limit) for limit in LIMITS}
        one = await _singly(truth, work.items(sizes.writes, "single"))
    return _section(truth, sizes, one, many, found)


@asynccontextmanager
async def _opened(truth: Truth) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for side in (truth.ours, truth.raw):
            await side.open()
            stack.push_async_callback(side.close)
        yield


async def _singly(truth: Truth, items: Sequence[Item]) -> Pair:
    records = [Record.of(item) for item in items]
    ours: list[Call] = [partial(truth.ours.write, record) for record in records]
    return await compared(ours, [partial(truth.raw.write, record) for record in records], BLOCK)


async def _in_batches(truth: Truth, items: Sequence[Item], size: int) -> Pair:
    records = [Record.of(item) for item in items]
    batches = [records[start : start + size] for start in range(0, len(records), size)]
    ours: list[Call] = [partial(truth.ours.write_many, batch) for batch in batches]
    return await compared(ours, [partial(truth.raw.write_many, batch) for batch in batches], 1)


async def _searches(truth: Truth, items: Sequence[Item], work: Workload, limit: int) -> _Searched:
    exact = Matrix()
    for item in items:
        exact.add(item.id, item.embedding)
    queries = [item.embedding for item in work.items(QUERIES, TENANT)]
    # The first search of a store may have to read what the next ones find in memory.
    recalls = [await _recall(side, exact, queries[: QUERIES // 3], limit) for side in (truth.ours, truth.raw)]
    ours: list[Call] = [partial(truth.ours.search, TENANT, query, limit) for query in queries]
    raw: list[Call] = [partial(truth.raw.search, TENANT, query, limit) for query in queries]
    return _Searched(await compared(ours, raw, QUERY_BLOCK), *recalls)


async def _recall(side: TruthSide, exact: Matrix, queries: Sequence[Vector], limit: int) -> float:
    shares = []
    for query in queries:
        found = await side.search(TENANT, query, limit)
        shares.append(len(set(found) & set(exact.nearest(query, limit))) / limit)
    return float(np.mean(shares))


def _section(truth: Truth, sizes: Sizes, one: Pair, many: Pair, found: dict[int, _Searched]) -> Section:
    many_memories = f"{sizes.memories:,} in batches, searches among {2 * sizes.memories:,}"
    title = f"{truth.name}: {sizes.writes:,} single writes, {many_memories}"
    section = Section(f"backend {truth.name}", title)
    section.lines = [line("single write", one, 1), line(f"batch of {sizes.batch:,}", many, sizes.batch)]
    section.lines += [_searched(limit, searched) for limit, searched in found.items()]
    section.samples = {**one.samples("single"), **many.samples("batch")}
    for limit, searched in found.items():
        section.samples |= searched.pair.samples(f"search {limit}")
    if truth.bound is not None:
        section.targets = [
            Target(f"{truth.name}, batches to the raw client", many.ratio, truth.bound, at_most=True),
            Target(f"{truth.name}, single writes to the raw client", one.ratio, truth.bound, at_most=True),
        ]
    return section


def line(name: str, pair: Pair, memories: int) -> Line:
    """Return the line of what writes so many memories a call."""
    return Line(name, {**_times(pair), "memories_per_s": memories / median(pair.ours)})


def _times(pair: Pair) -> dict[str, float]:
    return {"p50_ms": median(pair.ours) * 1000, "raw_p50_ms": median(pair.raw) * 1000, "to_raw": pair.ratio}


def _searched(limit: int, searched: _Searched) -> Line:
    return Line(f"search {limit}", {**_times(searched.pair), "recall": searched.ours, "raw_recall": searched.raw})
