"""The quick check of one small tenant, beside its share of the check of everything."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from benchmarks.results import Line, Section, Target
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import Call, Seconds, in_turns, medians

TO_SHARE = 2.0
REPETITIONS = 21
#: Checks of the tenant before the first that counts: Neo4j compiles what it often runs, over some fifty calls.
WARM_UP = 100
TENANT, UNKNOWN = "its check", "check of an unknown tenant"
EVERYTHING, SHARE = "check of everything, in step", "share of everything"


async def measure(stage: Stage) -> Section:
    """Measure it in turns with the check of everything.

    What every run costs, however small (its record, its round trips), the check of a tenant shows that nobody knows.
    """
    small = stage.plan.small
    calls: dict[str, Call] = {
        TENANT: lambda: stage.check(user_id=small.user_id),
        UNKNOWN: lambda: stage.check(user_id="nobody"),
        EVERYTHING: stage.check_all,
    }
    for _ in range(WARM_UP):
        await calls[TENANT]()
    seconds = await in_turns(calls, REPETITIONS)
    section = Section("sync_tenant", f"quick check of one tenant of {small.memories:,}, medians of {REPETITIONS}")
    section.samples = {f"{name}, seconds": taken for name, taken in seconds.items()}
    _judge(section, seconds, len(stage.plan.tenants))
    return section


def _judge(section: Section, seconds: Seconds, tenants: int) -> None:
    """Compare what is above the fixed cost, turn by turn: a few milliseconds are less than a busy machine wavers."""
    middle, above = medians(seconds), {name: _above(taken, seconds[UNKNOWN]) for name, taken in seconds.items()}
    own, share = median(above[TENANT]), median(above[EVERYTHING]) / tenants
    section.lines = [
        Line(name, {"ms": taken * 1_000, "above_fixed_ms": median(above[name]) * 1_000})
        for name, taken in middle.items()
    ]
    section.lines.append(Line(SHARE, {"ms": middle[EVERYTHING] / tenants * 1_000, "above_fixed_ms": share * 1_000}))
    low, _, high = (quartile * 1_000 for quartile in quantiles(above[TENANT]))
    section.notes += [
        f"share: divided by {tenants:,} tenants; fixed: what a run costs that has nothing to look at",
        f"the first {WARM_UP} checks of it are not counted",
        f"half of the differences between {TENANT} and fixed are from {low:.2f} to {high:.2f} ms",
    ]
    if own <= 0:
        section.notes.append(
            "its check was not slower than the fixed cost: the ratio says only that it is too small to measure"
        )
    section.targets = [
        Target("check of one tenant, time to its share, fixed cost apart", own / share, TO_SHARE, at_most=True)
    ]


def _above(taken: Sequence[float], fixed: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(taken, fixed, strict=True)]
