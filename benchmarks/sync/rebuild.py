"""The rebuild of the large tenant into a graph that was wiped, beside the same fragments written by the driver."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.results import Line, Section, Target
from benchmarks.sides.raw import NOT_AFTER
from benchmarks.sync.damage import wipe
from benchmarks.sync.resident import Growth, growth
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import timed
from benchmarks.workload import ENTITIES, RELATIONSHIPS
from persistence.graph.neo4j.batching import Batch, batch
from persistence.graph.neo4j.statements import APPLY

PER_SECOND = 10_000
TO_RAW = 1.5
GROWTH_MB = 150
#: A tenant of no more memories than this is rebuilt several times.
CHEAP, REPETITIONS = 20_000, 3
EDGES = ENTITIES + RELATIONSHIPS
REBUILD, RAW = "rebuild_graph", "same fragments, raw"


async def measure(stage: Stage) -> Section:
    """Measure both in turns. The raw parameters are made after the first rebuild, whose memory they are not to be."""
    large = stage.plan.large
    repetitions = REPETITIONS if large.memories <= CHEAP else 1
    seconds: dict[str, list[float]] = {REBUILD: [], RAW: []}
    first, taken = await _rebuilt(stage)
    seconds[REBUILD].append(taken)
    batches = _batches(stage)
    seconds[RAW].append(await _written(stage, batches))
    for _ in range(repetitions - 1):
        seconds[REBUILD].append((await _rebuilt(stage))[1])
        seconds[RAW].append(await _written(stage, batches))
    return _section(stage, seconds, first)


async def _rebuilt(stage: Stage) -> tuple[Growth, float]:
    await wipe(stage.driver, stage.plan.large.user_id)
    async with growth() as grown:
        seconds = await timed(lambda: _rebuild(stage))
    await stage.check_all()
    return grown, seconds


async def _rebuild(stage: Stage) -> None:
    large = stage.plan.large
    report = await stage.sync.rebuild_graph(user_id=large.user_id)
    if not report.complete or (report.memories, report.edges, report.pending) != (
        large.memories,
        large.memories * EDGES,
        0,
    ):
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


def _section(stage: Stage, seconds: dict[str, list[float]], grown: Growth) -> Section:
    count = stage.plan.large.memories
    size, raw = count * (1 + EDGES), median(seconds[RAW])
    times = f"medians of {len(seconds[RAW])}" if len(seconds[RAW]) > 1 else "once"
    section = Section(
        "sync_rebuild", f"rebuild of a tenant of {count:,} among {stage.plan.memories:,} memories, {times}"
    )
    for name, taken in seconds.items():
        middle = median(taken)
        figures = {"seconds": middle, "nodes_edges_per_s": size / middle, "to_raw": middle / raw}
        section.lines.append(Line(name, figures | ({"growth_mb": grown.mb} if name == REBUILD else {})))
    rebuild = section.lines[0].figures
    section.samples = {**{f"{name}, seconds": taken for name, taken in seconds.items()}, "rss_mb": grown.samples}
    section.targets = [
        Target("rebuild, nodes and edges a second", rebuild["nodes_edges_per_s"], PER_SECOND, at_most=False),
        Target("rebuild, time to the same fragments raw", rebuild["to_raw"], TO_RAW, at_most=True),
        Target("rebuild, growth of the process in MB", grown.mb, GROWTH_MB, at_most=True),
    ]
    return section
