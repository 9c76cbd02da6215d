"""The simulated world: seeds that have to pass, the same run again from the same seed, the least that fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from persistence.graph.memory import tenant
from persistence.ports.graph import GraphAck, GraphWrite
from persistence.ports.graph import Verdict as Said
from tests.faults.simulator.__main__ import CHUNK, command, failing
from tests.faults.simulator.run import Case, Verdict, run
from tests.faults.simulator.shrink import shrink

SEEDS = 500
SOME = (3, 57, 198)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_rule(first: int) -> None:
    """Whatever fails, hangs, dies and collides in these worlds, rules I1 to I9 hold, and calm leads to in step."""
    broken, _ = failing(range(first, first + CHUNK), 50)
    assert [(command(verdict.case), verdict.broken) for verdict in broken] == []


def test_a_seed_is_the_same_run_again() -> None:
    """A seed is replayed event by event, in this process and in others, whatever their hashes of strings are."""
    here = [run(Case(seed)).digest for seed in SOME]
    assert here == [run(Case(seed)).digest for seed in SOME]
    for hashes in ("0", "1"):
        assert here == [_elsewhere(seed, hashes) for seed in SOME]


def _elsewhere(seed: int, hashes: str) -> str:
    """Return the trace of a seed in a process of its own, as the command prints it."""
    arguments = [sys.executable, "-m", "tests.faults.simulator", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    said = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    return said.split("trace ")[1].split(",")[0]


@pytest.mark.faults
def test_a_missing_guard_is_found_and_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the version condition of the graph a seed soon fails; what is left of it is small, and fails alike."""

    def careless(_: object, write: GraphWrite) -> GraphAck:
        return GraphAck(Said.APPLIED, write.version)

    monkeypatch.setattr(tenant, "judge", careless)
    found = next(verdict for verdict in map(_run, range(100)) if verdict.rule == "I3")
    least = shrink(found, lambda _: None)
    assert len(least.case.ops or range(50)) <= 8
    again = run(least.case)
    assert (again.rule, again.digest) == ("I3", least.digest)
    assert "--ops" in command(least.case)


def _run(seed: int) -> Verdict:
    return run(Case(seed))
