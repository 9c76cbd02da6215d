"""One graph store beside its own driver: fragments one by one, and in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.backends.graphs.side import GraphSide, graph_write
from benchmarks.backends.truth import BLOCK, WARM_UP, Sizes, line
from benchmarks.backends.turns import Call, Pair, compared
from benchmarks.results import Section
from benchmarks.workload import Item, Workload


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph store: ours and raw."""

    name: str
    ours: GraphSide
    raw: GraphSide


async def measure(graph: Graph, sizes: Sizes, seed: int, say: Callable[[str], None]) -> Section:
    """Measure on graphs without these tenants; each side has tenants of its own, since both may share a database."""
    say(f"Measuring {graph.name} …")
    work = Workload(seed)
    async with _opened(graph):
        await _applied(graph, work.items(WARM_UP, "warm"), 1)
        # A server that has just started (Java above all) is slower with the first large statement.
        await _applied(graph, work.items(sizes.batch, "warm many"), sizes.batch)
        many = await _applied(graph, work.items(sizes.memories, "many"), sizes.batch)
        one = await _applied(graph, work.items(sizes.writes, "single"), 1)
    return _section(graph, sizes, one, many)


@asynccontextmanager
async def _opened(graph: Graph) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for side in (graph.ours, graph.raw):
            await side.open()
            stack.push_async_callback(side.close)
        yield


async def _applied(graph: Graph, items: Sequence[Item], size: int) -> Pair:
    ours, raw = (_calls(side, items, mark, size) for side, mark in ((graph.ours, "diptych"), (graph.raw, "raw")))
    return await compared(ours, raw, BLOCK if size == 1 else 1)


def _calls(side: GraphSide, items: Sequence[Item], mark: str, size: int) -> list[Call]:
    writes = [graph_write(item, f"{item.user_id} {mark}") for item in items]
    return [partial(side.apply, writes[start : start + size]) for start in range(0, len(writes), size)]


def _section(graph: Graph, sizes: Sizes, one: Pair, many: Pair) -> Section:
    title = f"{graph.name}: {sizes.writes:,} single fragments, {sizes.memories:,} in batches of {sizes.batch:,}"
    section = Section(f"backend {graph.name}", title)
    section.lines = [line("single write", one, 1), line(f"batch of {sizes.batch:,}", many, sizes.batch)]
    section.samples = {**one.samples("single"), **many.samples("batch")}
    return section
