"""The quick check of one small tenant, beside its share of the check of everything."""

from __future__ import annotations

from benchmarks.results import Line, Section, Target
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import Call, in_turns, medians

TO_SHARE = 2.0
REPETITIONS = 21
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
    seconds = await in_turns(calls, REPETITIONS)
    section = Section("sync_tenant", f"quick check of one tenant of {small.memories:,}, medians of {REPETITIONS}")
    section.samples = {f"{name}, seconds": taken for name, taken in seconds.items()}
    _judge(section, medians(seconds), len(stage.plan.tenants))
    return section


def _judge(section: Section, middle: dict[str, float], tenants: int) -> None:
    above = {name: taken - middle[UNKNOWN] for name, taken in middle.items()}
    share = above[EVERYTHING] / tenants
    section.lines = [
        Line(name, {"ms": taken * 1_000, "above_fixed_ms": above[name] * 1_000}) for name, taken in middle.items()
    ]
    section.lines.append(Line(SHARE, {"ms": middle[EVERYTHING] / tenants * 1_000, "above_fixed_ms": share * 1_000}))
    section.notes.append(f"share: divided by {tenants:,} tenants; fixed: what a run costs that has nothing to look at")
    section.targets = [
        Target(
            "check of one tenant, time to its share, fixed cost apart", above[TENANT] / share, TO_SHARE, at_most=True
        )
    ]
