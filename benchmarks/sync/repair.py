"""The repair of memories that the graph lacks: how fast, and whether it costs what is lacking or what there is."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.results import Line, Section, Target
from benchmarks.sync.damage import take_out
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import timed
from benchmarks.workload import ENTITIES, RELATIONSHIPS
from persistence import Key

PER_SECOND = 10_000
MANY, FEW, REPETITIONS = 20_000, 2_000, 3
#: Nodes and edges of a memory: itself, its mentions, its relationships.
SIZE = 1 + ENTITIES + RELATIONSHIPS


async def measure(stage: Stage, in_step: float) -> Section:
    """Measure it at two sizes; ``in_step``: the seconds of a check of everything, which each repair is as well."""
    there = sum(tenant.memories for tenant in stage.plan.linked)
    many = min(MANY, there)
    few = FEW * many // MANY
    seconds = {few: [await _repaired(stage, few, turn) for turn in range(REPETITIONS)]}
    seconds[many] = [await _repaired(stage, many, REPETITIONS)]
    section = Section("sync_repair", f"repair of missing memories among {stage.plan.memories:,}")
    section.lines = [_line(count, median(taken), in_step) for count, taken in seconds.items()]
    section.samples = {f"{count} missing, seconds": taken for count, taken in seconds.items()}
    section.notes.append(f"less check: without the {in_step:.2f} s that a check of everything in step takes")
    rate = section.lines[-1].figures["nodes_edges_per_s"]
    section.targets = [
        Target(f"repair of {many:,} missing memories, nodes and edges a second", rate, PER_SECOND, at_most=False)
    ]
    return section


async def _repaired(stage: Stage, count: int, turn: int) -> float:
    """Take memories out of the graph and mend it; return the seconds of the repair."""
    keys = await stage.sample(stage.plan.linked, count, stage.plan.seed + turn)
    await take_out(stage.driver, keys)
    seconds = await timed(lambda: _repair(stage, keys))
    await stage.check_all()
    return seconds


async def _repair(stage: Stage, keys: Sequence[Key]) -> None:
    report = await stage.sync.repair_inconsistencies(dry_run=False)
    if report.repaired != len(keys):
        raise RuntimeError(f"of {len(keys)} missing memories were repaired: {report.repaired}")


def _line(count: int, seconds: float, in_step: float) -> Line:
    above = max(seconds - in_step, 1e-9)
    figures = {
        "seconds": seconds,
        "nodes_edges_per_s": SIZE * count / seconds,
        "less_check_per_s": SIZE * count / above,
        "less_check_ms_each": above / count * 1_000,
    }
    return Line(f"{count:,} missing", figures)
