"""The rebuild of the large tenant into a graph that was wiped, beside the same fragments written by the driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.results import Line, Section, Target
from benchmarks.sides.raw import NOT_AFTER
from benchmarks.sync.damage import wipe
from benchmarks.sync.filling import Tenant
from benchmarks.sync.resident import growth
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import Seconds, timed
from benchmarks.workload import ENTITIES, RELATIONSHIPS
from persistence.graph.neo4j.batching import Batch, batch
from persistence.graph.neo4j.statements import APPLY

PER_SECOND = 10_000
TO_RAW = 1.5
GROWTH_MB = 150
#: A tenant of no more memories than this is rebuilt several times.
CHEAP, REPETITIONS = 20_000, 3
WARM_UP = 2
EDGES = ENTITIES + RELATIONSHIPS
REBUILD, RAW = "rebuild_graph", "same fragments, raw"


async def measure(stage: Stage) -> Section:
    """Measure both in turns (ABBA…), after rebuilds of a small tenant that are not counted."""
    large, small = stage.plan.large, stage.plan.small
    for _ in range(WARM_UP):
        await _rebuilt(stage, small)
    await wipe(stage.driver, large.user_id)
    grown = await growth(stage, large)
    await stage.check_all()
    batches = _batches(stage)
    calls: dict[str, Callable[[], Awaitable[float]]] = {
        REBUILD: lambda: _rebuilt(stage, large),
        RAW: lambda: _written(stage, batches),
    }
    seconds: Seconds = {REBUILD: [], RAW: []}
    for turn in range(REPETITIONS if large.memories <= CHEAP else 1):
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            seconds[name].append(await calls[name]())
    return _section(stage, seconds, grown)


async def _rebuilt(stage: Stage, tenant: Tenant) -> float:
    await wipe(stage.driver, tenant.user_id)
    seconds = await timed(lambda: _rebuild(stage, tenant))
    await stage.check_all()
    return seconds


async def _rebuild(stage: Stage, tenant: Tenant) -> None:
    report = await stage.sync.rebuild_graph(user_id=tenant.user_id)
    wanted = (tenant.memories, tenant.memories * EDGES, 0)
    if not report.complete or (report.memories, report.edges, report.pending) != wanted:
        raise RuntimeError(f"not everything was rebuilt: {report}")


def _batches(stage: Stage) -> list[Batch]:
    """Make the parameters of the same transactions: memories in the order of their ids, as many in each."""
    writes = sorted((made.graph_write() for made in stage.plan.of_large()), key=lambda write: write.id)
    size = stage.config.sync_batch
    return [batch(writes[start : start + size]) for start in range(0, len(writes), size)]


async def _written(stage: Stage, batches: Sequence[Batch]) -> float:
    await wipe(stage.driver, stage.plan.large.user_id)
    seconds = await timed(lambda: _write(stage, batches))
    await stage.check_all()
    return seconds


async def _write(stage: Stage, batches: Sequence[Batch]) -> None:
    async with stage.driver.session() as session:
        for work in batches:
            result = await session.run(APPLY, {"batch": work.parameter, "not_after": NOT_AFTER})
            await result.single(strict=True)


def _section(stage: Stage, seconds: Seconds, grown_mb: float) -> Section:
    count = stage.plan.large.memories
    size, raw = count * (1 + EDGES), median(seconds[RAW])
    times = f"medians of {len(seconds[RAW])}" if len(seconds[RAW]) > 1 else "once"
    section = Section(
        "sync_rebuild", f"rebuild of a tenant of {count:,} among {stage.plan.memories:,} memories, {times}"
    )
    for name, taken in seconds.items():
        middle = median(taken)
        figures = {"seconds": middle, "nodes_edges_per_s": size / middle, "to_raw": middle / raw}
        section.lines.append(Line(name, figures | ({"growth_mb": grown_mb} if name == REBUILD else {})))
    rebuild = section.lines[0].figures
    section.notes.append("growth: of a fresh process, which rebuilds it once more")
    section.samples = {f"{name}, seconds": taken for name, taken in seconds.items()}
    section.targets = [
        Target("rebuild, nodes and edges a second", rebuild["nodes_edges_per_s"], PER_SECOND, at_most=False),
        Target("rebuild, time to the same fragments raw", rebuild["to_raw"], TO_RAW, at_most=True),
        Target("rebuild, growth of the process in MB", grown_mb, GROWTH_MB, at_most=True),
    ]
    return section
