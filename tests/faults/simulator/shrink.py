"""From a run that fails to the least that still fails in the same way: fewer operations, then fewer faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.faults.simulator.run import Case, Verdict, run

T = TypeVar("T")

#: Other orders of callbacks that are tried for each smaller run: leaving something out moves everything else.
ORDERS = range(3)


def shrink(verdict: Verdict, tell: Callable[[str], None]) -> Verdict:
    """Return the smallest run found that breaks the same rule."""
    best = verdict
    for _ in range(2):
        size = _size(best)
        best = _fewer_ops(best)
        best = _fewer_faults(best)
        tell(f"{len(best.case.workload().ops)} operations, {len(best.injected)} faults")
        if _size(best) == size:
            break
    return best


def _size(verdict: Verdict) -> int:
    return len(verdict.case.workload().ops) + len(verdict.injected)


def _fewer_ops(verdict: Verdict) -> Verdict:
    numbers = [op.number for op in verdict.case.workload().ops]
    return _least(verdict, numbers, lambda case, kept: replace(case, ops=frozenset(kept)))


def _fewer_faults(verdict: Verdict) -> Verdict:
    calls = [call for call, _, _ in verdict.injected]
    return _least(verdict, calls, lambda case, kept: replace(case, faults=frozenset(kept)))


def _least(verdict: Verdict, parts: Sequence[T], make: Callable[[Case, Sequence[T]], Case]) -> Verdict:
    """Leave out larger, then smaller pieces, as long as it still fails."""
    best, kept, size = verdict, list(parts), len(parts)
    while size:
        at = 0
        while at < len(kept):
            fewer = kept[:at] + kept[at + size :]
            smaller = _failing(make(best.case, fewer), best.rule)
            if smaller is None:
                at += size
            else:
                best, kept = smaller, fewer
        size //= 2
    return best


def _failing(case: Case, rule: str | None) -> Verdict | None:
    """Run a case in several orders; return the first run that breaks the rule."""
    for order in dict.fromkeys([case.order, *ORDERS]):
        verdict = run(replace(case, order=order))
        if verdict.rule == rule:
            return verdict
    return None
