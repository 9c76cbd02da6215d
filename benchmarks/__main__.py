"""``python -m benchmarks``: measure, print tables, write a JSON file. Exit code 0, whatever the figures say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import neo4j
import typer
from rich.console import Console

from benchmarks import bulk, imports, profiling, single
from benchmarks.machine import facts
from benchmarks.results import Report, Section
from benchmarks.servers import servers
from benchmarks.sides.graphs import empty_graph
from benchmarks.sides.naive import Naive
from benchmarks.sides.raw import Raw
from benchmarks.sides.service import Service
from benchmarks.sides.side import Side
from benchmarks.table import conclude, show
from persistence.graph.neo4j.address import parse

Say = Callable[[str], None]

RESULTS = Path(__file__).parent / "results"
SCHEMAS = ("bench_diptych", "bench_raw", "bench_naive", "bench_import")


class Part(StrEnum):
    """What can be measured."""

    STORE = "store"
    STORE_MANY = "store_many"
    BULK_LOAD = "bulk_load"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes; ``parts`` in the order in which they are measured."""

    parts: tuple[Part, ...]
    writes: int
    memories: int
    repetitions: int
    import_lines: int
    seed: int
    naive: bool
    profile: bool


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Measure this alone; may be given several times.")] = None,
    writes: Annotated[int, typer.Option(min=1, help="Single writes on each side.")] = 1_000,
    memories: Annotated[int, typer.Option(min=1, help="Memories in one store_many.")] = 10_000,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each store_many; the median counts.")] = 3,
    import_lines: Annotated[int, typer.Option(min=100, help="Lines of the import.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The seed of the memories.")] = 1,
    postgres_url: Annotated[str | None, typer.Option(help="A PostgreSQL with pgvector; else one is started.")] = None,
    neo4j_url: Annotated[str | None, typer.Option(help="A Neo4j for benchmarks ALONE; else one is started.")] = None,
    *,
    naive: Annotated[bool, typer.Option(help="Whether to measure the naive pair, which is slow.")] = True,
    profile: Annotated[bool, typer.Option("--profile", help="Say where the time goes, instead of comparing.")] = False,
) -> None:
    """Measure the service beside raw statements and beside a naive pair, on real servers."""
    options = Options(tuple(only or Part), writes, memories, repetitions, import_lines, seed, naive, profile)
    asyncio.run(_main(options, postgres_url, neo4j_url))


async def _main(options: Options, postgres: str | None, graph: str | None) -> None:
    console = Console()
    needs_graph = options.profile or options.parts != (Part.IMPORT,)
    async with servers(postgres, graph, graph=needs_graph) as urls, AsyncExitStack() as stack:
        sides: list[Side] = []
        driver = None
        if urls.neo4j is not None:
            driver = await stack.enter_async_context(_driver(urls.neo4j))
            sides = await _sides(stack, urls.postgres, urls.neo4j, driver, naive=options.naive)
        report = Report(await facts(urls.postgres, driver), asdict(options), datetime.now(UTC))
        console.print(report.machine)
        async for section in _sections(options, sides, urls.postgres, partial(console.print, style="dim")):
            report.sections.append(section)
            show(console, section)
    conclude(console, report)
    console.print(f"Written to {report.write(RESULTS)}", soft_wrap=True)


@asynccontextmanager
async def _driver(url: str) -> AsyncIterator[neo4j.AsyncDriver]:
    address = parse(url)
    async with neo4j.AsyncGraphDatabase.driver(
        address.uri,
        auth=address.auth,
        notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
        telemetry_disabled=True,
    ) as driver:
        await empty_graph(driver)
        yield driver
        await empty_graph(driver)


async def _sides(
    stack: AsyncExitStack, postgres: str, graph: str, driver: neo4j.AsyncDriver, *, naive: bool
) -> list[Side]:
    service, raw, plain, _ = SCHEMAS
    sides: list[Side] = [Service(postgres, graph, driver, service), Raw(postgres, driver, raw)]
    sides += [Naive(postgres, driver, plain)] if naive else []
    for side in sides:
        await side.open()
        stack.push_async_callback(side.close)
    return sides


async def _sections(options: Options, sides: list[Side], postgres: str, say: Say) -> AsyncIterator[Section]:
    if options.profile:
        service = sides[0]
        if isinstance(service, Service):
            for section in await profiling.profile(service, options.writes, options.memories, options.seed):
                yield section
            print(await profiling.functions(service, options.writes, options.seed))
        return
    for part in options.parts:
        yield await _measure(part, options, sides, postgres, say)


async def _measure(part: Part, options: Options, sides: list[Side], postgres: str, say: Say) -> Section:
    say(f"Measuring {part} …")
    if part is Part.STORE:
        sizes = single.Sizes(options.writes, warm_up=options.writes)
        return await single.measure(sides, sizes, options.seed)
    if part is Part.IMPORT:
        return await imports.measure(postgres, SCHEMAS[3], options.import_lines, options.seed)
    way = next(way for way in bulk.WAYS if way.name == part)
    sizes_many = bulk.Sizes(options.memories, min(2_000, options.memories), options.repetitions)
    return await bulk.measure(way, sides, sizes_many, options.seed, say)


if __name__ == "__main__":
    typer.run(main)
