"""The quick check of everything: beside the sums that it stands on, with scattered drift, and what it reads."""

from __future__ import annotations

from contextlib import AsyncExitStack

from benchmarks.results import Line, Section, Target
from benchmarks.sync.damage import set_back
from benchmarks.sync.proxy import before_neo4j, before_postgres
from benchmarks.sync.raw import send, sum_truth, sums_of_graph
from benchmarks.sync.singly import Singly
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import Seconds, in_turns, medians, timed
from persistence import AsyncPersistenceService
from persistence.graph.neo4j import Neo4jGraph
from persistence.vector.pgvector import PgVectorStore
from sync import AsyncSyncService, Kind

TO_SUMS = 2.0
TO_IN_STEP = 1.5
MOST_KB = 400
SCATTERED = 100
REPETITIONS = 11

NAMES = ("PostgreSQL", "Neo4j")
CHECK = "check, in step"
DRIFTED = f"check, {SCATTERED} drifts"
TRUTH, GRAPH = "sums in PostgreSQL, raw", "sums in Neo4j, raw"


async def measure(stage: Stage, singly: Singly) -> tuple[Section, float]:
    """Measure the quick check of everything; return also the seconds that it takes in step."""
    beside = await _beside_sums(stage)
    section = _section(stage, beside, await _drifted(stage), singly, await _bytes_read(stage))
    return section, medians(beside)[CHECK]


async def _beside_sums(stage: Stage) -> Seconds:
    statements = await sums_of_graph(stage.graph)
    async with stage.driver.session() as session:
        calls = {
            CHECK: stage.check_all,
            TRUTH: lambda: sum_truth(stage.db),
            GRAPH: lambda: send(session, statements),
        }
        return await in_turns(calls, REPETITIONS)


async def _drifted(stage: Stage) -> Seconds:
    """Set memories back in the graph, check, mend them, check: again and again, after one turn that is not counted."""
    keys = await stage.sample(stage.plan.tenants, SCATTERED, stage.plan.seed)
    seconds: Seconds = {DRIFTED: [], CHECK: []}
    for turn in range(1 + REPETITIONS):
        await set_back(stage.driver, keys)
        drifted = await timed(lambda: stage.check({Kind.STALE: SCATTERED}))
        await _mend(stage)
        in_step = await timed(stage.check_all)
        if turn:
            seconds[DRIFTED].append(drifted)
            seconds[CHECK].append(in_step)
    return seconds


async def _mend(stage: Stage) -> None:
    report = await stage.sync.repair_inconsistencies(dry_run=False)
    if report.repaired != SCATTERED:
        raise RuntimeError(f"of {SCATTERED} drifts were repaired: {report.repaired}")


async def _bytes_read(stage: Stage) -> tuple[int, int]:
    """Return what both servers send to a service that was just opened and checks everything once."""
    async with AsyncExitStack() as stack:
        truth = await stack.enter_async_context(before_postgres(stage.urls.postgres))
        graph = await stack.enter_async_context(before_neo4j(stage.urls.neo4j or ""))
        adapters = PgVectorStore(truth.url, schema=stage.config.schema_name), Neo4jGraph(graph.url)
        service = AsyncPersistenceService.connect(*adapters, config=stage.config)
        memories = await stack.enter_async_context(service)
        before = truth.answered, graph.answered
        await AsyncSyncService(memories).check_consistency()
        return truth.answered - before[0], graph.answered - before[1]


def _section(stage: Stage, beside: Seconds, drifted: Seconds, singly: Singly, read: tuple[int, int]) -> Section:
    middle, turns = medians(beside), medians(drifted)
    slower, to_in_step = max(middle[TRUTH], middle[GRAPH]), turns[DRIFTED] / turns[CHECK]
    section = Section("sync_quick", f"quick check of {stage.plan.memories:,} memories, medians of {REPETITIONS}")
    section.lines = [
        *(Line(name, {"seconds": taken, "to_sums": taken / slower}) for name, taken in middle.items()),
        Line(DRIFTED, {"seconds": turns[DRIFTED], "to_check": to_in_step}),
        Line(f"{CHECK}, in turns with it", {"seconds": turns[CHECK], "to_check": 1.0}),
        singly.line(middle[CHECK]),
        *(Line(f"read from {name}", {"kb": size / 1_000}) for name, size in zip(NAMES, read, strict=True)),
    ]
    section.samples = {f"{name}, seconds": taken for name, taken in beside.items()}
    section.samples |= {f"{name}, in turns, seconds": taken for name, taken in drifted.items()}
    section.notes.append(singly.note)
    section.targets = [
        Target("quick check in step, time to the slower store's sums", middle[CHECK] / slower, TO_SUMS, at_most=True),
        Target(f"{SCATTERED} scattered drifts, time to the check in step", to_in_step, TO_IN_STEP, at_most=True),
    ]
    section.targets += [
        Target(f"quick check in step, KB read from {name}", size / 1_000, MOST_KB, at_most=True)
        for name, size in zip(NAMES, read, strict=True)
    ]
    return section
