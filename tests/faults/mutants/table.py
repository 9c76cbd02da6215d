"""The table: one line for each guard."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.mutants.trial import Trial, Verdict

HEAD = "| guard | what breaks without it | file | test | caught | seconds |\n| --- | --- | --- | --- | --- | ---: |"


def row(trial: Trial) -> str:
    """Return the line of one guard."""
    guard = trial.guard
    tests = ", ".join(f"`{_short(test)}`" for test in guard.tests)
    return f"| {guard.name} | {guard.breaks} | `{guard.file}` | {tests} | {trial.verdict} | {trial.seconds:.1f} |"


def _short(test: str) -> str:
    """Name a test without the folders that its file stands in."""
    return test.rpartition("/")[2]


def summary(trials: Sequence[Trial], seconds: float) -> str:
    """Say how many were caught, and why the others were not."""
    wrong = [trial for trial in trials if trial.verdict is not Verdict.CAUGHT]
    first = f"{len(trials)} guards, {len(trials) - len(wrong)} caught, {len(wrong)} not, in {seconds:.0f} s."
    return "\n".join([first, *(f"{one.guard.name} ({one.verdict}): {one.said}" for one in wrong)])
