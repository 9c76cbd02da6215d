"""The structure check of everything, beside the statements that it stands on."""

from __future__ import annotations

import asyncio

from benchmarks.results import Line, Section, Target
from benchmarks.sync.raw import recorded, send, sum_truth
from benchmarks.sync.singly import Singly
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import in_turns, medians
from sync import Depth

TO_RAW = 1.5
REPETITIONS = 5
CHECK, RAW = "check, in step", "its statements, raw"


async def measure(stage: Stage, singly: Singly) -> Section:
    """Measure it. Raw, truth is summed up while the graph is asked, which is more than the check may do at once."""
    with recorded(stage.graph) as statements:
        await stage.check_all(depth=Depth.STRUCTURE)
    async with stage.driver.session() as session:
        seconds = await in_turns(
            {
                CHECK: lambda: stage.check_all(depth=Depth.STRUCTURE),
                RAW: lambda: asyncio.gather(sum_truth(stage.db), send(session, statements)),
            },
            REPETITIONS,
        )
    middle = medians(seconds)
    ratio = middle[CHECK] / middle[RAW]
    section = Section(
        "sync_structure", f"structure check of {stage.plan.memories:,} memories, medians of {REPETITIONS}"
    )
    section.lines = [
        Line(CHECK, {"seconds": middle[CHECK], "to_raw": ratio}),
        Line(RAW, {"seconds": middle[RAW], "to_raw": 1.0}),
        singly.line(middle[CHECK]),
    ]
    section.notes += [singly.note, f"raw: {len(statements)} statements to Neo4j, one to PostgreSQL"]
    section.samples = {f"{name}, seconds": taken for name, taken in seconds.items()}
    section.targets = [Target("structure check in step, time to its statements raw", ratio, TO_RAW, at_most=True)]
    return section
