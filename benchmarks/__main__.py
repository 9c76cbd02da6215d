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

from benchmarks import bulk, http, imports, profiling, single
from benchmarks.backends import bench as backends
from benchmarks.backends.bench import Backend
from benchmarks.backends.truth import Sizes as BackendSizes
from benchmarks.machine import facts
from benchmarks.results import Report, Section
from benchmarks.servers import Urls, servers
from benchmarks.sides.graphs import empty_graph
from benchmarks.sides.naive import Naive
from benchmarks.sides.raw import Raw
from benchmarks.sides.service import Service
from benchmarks.sides.side import Side
from benchmarks.sync import bench as upkeep
from benchmarks.sync.filling import plan
from benchmarks.sync.stage import staged
from benchmarks.table import conclude, show
from persistence.graph.neo4j.address import parse

Say = Callable[[str], None]

RESULTS = Path(__file__).parent / "results"
SCHEMAS = ("bench_diptych", "bench_raw", "bench_naive", "bench_import", "bench_sync", "bench_http")


class Part(StrEnum):
    """What can be measured."""

    STORE = "store"
    STORE_MANY = "store_many"
    BULK_LOAD = "bulk_load"
    IMPORT = "import"
    SYNC = "sync"
    BACKENDS = "backends"
    HTTP = "http"


#: The parts that write by every side.
BY_SIDES = (Part.STORE, Part.STORE_MANY, Part.BULK_LOAD)


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes; ``parts`` in the order in which they are measured, those by all sides first."""

    parts: tuple[Part, ...]
    writes: int
    memories: int
    repetitions: int
    import_lines: int
    sync_memories: int
    http_seconds: float
    http_memories: int
    seed: int
    naive: bool
    profile: bool
    backends: tuple[Backend, ...]

    @property
    def need_graph(self) -> bool:
        """Whether anything of it needs Neo4j."""
        others = set(self.parts) - {Part.IMPORT, Part.BACKENDS}
        measured = Part.BACKENDS in self.parts and Backend.NEO4J_GRAPH in self.backends
        return self.profile or bool(others) or measured


def main(
    *,
    only: Annotated[list[Part] | None, typer.Option(help="Measure this alone; may be given several times.")] = None,
    writes: Annotated[int, typer.Option(min=1, help="Single writes on each side.")] = 1_000,
    memories: Annotated[int, typer.Option(min=1, help="Memories in one store_many.")] = 10_000,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each store_many; the median counts.")] = 3,
    import_lines: Annotated[int, typer.Option(min=100, help="Lines of the import.")] = 20_000,
    sync_memories: Annotated[int, typer.Option(min=10_000, help="Memories that are checked.")] = 100_000,
    http_seconds: Annotated[float, typer.Option(min=1, help="Seconds for which many clients write at once.")] = 60,
    http_memories: Annotated[int, typer.Option(min=10_000, help="Memories of which the status is asked.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The seed of the memories.")] = 1,
    postgres_url: Annotated[str | None, typer.Option(help="A PostgreSQL with pgvector; else one is started.")] = None,
    neo4j_url: Annotated[str | None, typer.Option(help="A Neo4j for benchmarks ALONE; else one is started.")] = None,
    naive: Annotated[bool, typer.Option(help="Whether to measure the naive pair, which is slow.")] = True,
    profile: Annotated[bool, typer.Option("--profile", help="Say where the time goes, instead of comparing.")] = False,
    backend: Annotated[list[Backend] | None, typer.Option(help="Of the backends, this alone; may be repeated.")] = None,
) -> None:
    """Measure the service beside raw statements and beside a naive pair, on real servers."""
    sizes = writes, memories, repetitions, import_lines, sync_memories, http_seconds, http_memories
    options = Options(tuple(only or Part), *sizes, seed, naive, profile, tuple(backend or Backend))
    asyncio.run(_main(options, postgres_url, neo4j_url))


async def _main(options: Options, postgres: str | None, graph: str | None) -> None:
    console = Console()
    async with servers(postgres, graph, graph=options.need_graph) as urls, AsyncExitStack() as stack:
        driver = None
        if urls.neo4j is not None:
            driver = await stack.enter_async_context(_driver(urls.neo4j, stays=graph is not None))
        report = Report(await facts(urls.postgres, driver), asdict(options), datetime.now(UTC))
        console.print(report.machine)
        bench = _Bench(options, urls, driver, partial(console.print, style="dim"))
        async for section in bench.sections():
            report.sections.append(section)
            show(console, section)
    conclude(console, report)
    console.print(f"Written to {report.write(RESULTS)}", soft_wrap=True)


@asynccontextmanager
async def _driver(url: str, *, stays: bool) -> AsyncIterator[neo4j.AsyncDriver]:
    """Connect to an empty graph, and leave it empty where the server ``stays``."""
    address = parse(url)
    async with neo4j.AsyncGraphDatabase.driver(
        address.uri,
        auth=address.auth,
        notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
        telemetry_disabled=True,
    ) as driver:
        await empty_graph(driver)
        yield driver
        if stays:
            await empty_graph(driver)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One run. ``driver`` None: no part needs a graph."""

    options: Options
    urls: Urls
    driver: neo4j.AsyncDriver | None
    say: Say

    async def sections(self) -> AsyncIterator[Section]:
        """Measure part by part; those by sides while these are open, for a graph is one truth's at a time."""
        written = [part for part in self.options.parts if part in BY_SIDES]
        if self.options.profile:
            async for section in self._profiled():
                yield section
            return
        if written:
            async with self._sides() as sides:
                for part in written:
                    yield await self._written(part, sides)
        for part in self.options.parts:
            async for section in self._other(part):
                yield section

    async def _profiled(self) -> AsyncIterator[Section]:
        options = self.options
        async with self._sides() as (service, *_):
            if isinstance(service, Service):
                for section in await profiling.profile(service, options.writes, options.memories, options.seed):
                    yield section
                print(await profiling.functions(service, options.writes, options.seed))

    @asynccontextmanager
    async def _sides(self) -> AsyncIterator[list[Side]]:
        service, raw, plain, *_ = SCHEMAS
        driver, (postgres, graph) = self._graph()
        sides: list[Side] = [Service(postgres, graph, driver, service), Raw(postgres, driver, raw)]
        sides += [Naive(postgres, driver, plain)] if self.options.naive else []
        async with AsyncExitStack() as stack:
            for side in sides:
                await side.open()
                stack.push_async_callback(side.close)
            yield sides

    async def _written(self, part: Part, sides: list[Side]) -> Section:
        options = self.options
        self.say(f"Measuring {part} …")
        if part is Part.STORE:
            sizes = single.Sizes(options.writes, warm_up=options.writes)
            return await single.measure(sides, sizes, options.seed)
        way = next(way for way in bulk.WAYS if way.name == part)
        sizes_many = bulk.Sizes(options.memories, min(2_000, options.memories), options.repetitions)
        return await bulk.measure(way, sides, sizes_many, options.seed, self.say)

    async def _other(self, part: Part) -> AsyncIterator[Section]:
        options = self.options
        if part in BY_SIDES:
            return
        self.say(f"Measuring {part} …")
        if part is Part.IMPORT:
            yield await imports.measure(self.urls.postgres, SCHEMAS[3], options.import_lines, options.seed)
        elif part is Part.SYNC:
            driver, _ = self._graph()
            measured = upkeep.measure(self.urls, driver, SCHEMAS[4], options.sync_memories, options.seed, self.say)
            async for section in measured:
                yield section
        elif part is Part.HTTP:
            async for section in self._served():
                yield section
        elif part is Part.BACKENDS:
            sizes = BackendSizes(options.writes, options.memories)
            found = backends.measure(options.backends, self.urls, self.driver, sizes, options.seed, self.say)
            async for section in found:
                yield section

    async def _served(self) -> AsyncIterator[Section]:
        driver, (postgres, graph) = self._graph()
        service = Service(postgres, graph, driver, SCHEMAS[5])
        await service.open()
        try:
            sizes = http.Sizes(self.options.writes, self.options.http_seconds)
            async for section in http.measure(service, sizes, self.options.seed):
                yield section
        finally:
            await service.close()
        filling = plan(self.options.http_memories, self.options.seed)
        async with staged(filling, self.urls, driver, SCHEMAS[5], self.say) as stage:
            yield await http.measure_status(stage)

    def _graph(self) -> tuple[neo4j.AsyncDriver, tuple[str, str]]:
        """Return the driver and both URLs, where there is a graph."""
        if self.driver is None or self.urls.neo4j is None:
            raise RuntimeError("this part needs a graph")
        return self.driver, (self.urls.postgres, self.urls.neo4j)


if __name__ == "__main__":
    typer.run(main)
