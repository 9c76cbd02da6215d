"""Runs the model of the protocol (docs/protocol/) through Spin: ``make model``.

Every scenario is explored exhaustively as it stands, and once more with each guard taken out: then a counterexample is
looked for, breadth first, so that it is the shortest one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).parents[2] / "docs" / "protocol" / "diptych.pml"
#: Megabytes and steps at which an exploration fails rather than pass for a whole one.
MEMORY, DEPTH = 2_500, 1_000_000
AT_ONCE = 2

#: How large each scenario is, and which parts it has.
SCENARIOS: dict[str, str] = {
    "writes": "OPS=2 COLLECT=1",
    "relays": "WRITERS=1 OPS=2 RELAYS=2 COLLECT=1",
    "updates": "OPS=2 UPDATES",
    "rollback": "OPS=1 ROLLBACK THERE",
    "leases": "WRITERS=1 OPS=1 RELAYS=2 LEASES ATTEMPTS=2",
    "check": "WRITERS=1 OPS=2 CHECK COLLECT=1",
    "repair": "WRITERS=1 OPS=1 REPAIR DRIFT PASSES=2 THERE",
    "orphan": "WRITERS=1 OPS=1 REPAIR ORPHAN",
    "rebuild": "WRITERS=1 OPS=2 REBUILD MEMORIES=2",
    "clear": "WRITERS=1 OPS=1 REBUILD CLEAR CHECK MEMORIES=2 THERE",
    "calm": "WRITERS=1 OPS=2 LIVENESS",
}
#: Those that are a property of endless runs, and so are explored with fairness, depth first.
ENDLESS = {"calm"}


@dataclass(frozen=True)
class Mutant:
    """Guards that are taken out together, and the property that breaks then; None: none does."""

    guards: tuple[str, ...]
    scenario: str
    breaks: str | None


def _mutant(guards: str, scenario: str, breaks: str | None) -> Mutant:
    return Mutant(tuple(guards.split("+")), scenario, breaks)


MUTANTS = [
    _mutant("NO_OUTBOX_IN_THE_WRITE", "writes", "I2"),
    _mutant("NO_VERSION_CONDITION", "writes", "I5"),
    _mutant("NO_TOMBSTONE", "writes", "I5"),
    _mutant("NO_TOMBSTONE_ABOVE", "orphan", None),
    _mutant("NO_READ_AFTER_CLAIM", "writes", "I5"),
    _mutant("NO_SETTLE_ENTRY+NO_SETTLE_VERSION", "writes", "I2"),
    _mutant("NO_SETTLE_ENTRY", "relays", None),
    _mutant("NO_SETTLE_VERSION", "relays", None),
    _mutant("NO_UNKNOWN_OUTCOME", "writes", "I2"),
    _mutant("NO_ERROR_APART", "writes", "I2"),
    _mutant("NO_DURABLE_TRUTH", "writes", "I1"),
    _mutant("NO_ROW_LOCK", "writes", "I3"),
    _mutant("NO_AGE", "writes", "I5"),
    _mutant("NO_BOUND_FROM_THE_READ", "writes", "I5"),
    _mutant("NO_SETTLED", "relays", None),
    _mutant("NO_COLLECT_CONDITION", "writes", "I2"),
    _mutant("NO_COLLECT_FILTER", "writes", "I1"),
    _mutant("NO_FLOOR", "writes", "I3"),
    _mutant("NO_FLOOR_FIRST", "writes", "I3"),
    _mutant("NO_EXPECTED_VERSION", "updates", "I1"),
    _mutant("NO_ROLLBACK_CONDITION", "rollback", "I1"),
    _mutant("NO_CLAIM_FENCE", "leases", "L"),
    _mutant("NO_GIVE_BACK", "leases", "D"),
    _mutant("NO_OUTBOX_LOOK", "check", "F"),
    _mutant("NO_SECOND_LOOK", "check", "F"),
    _mutant("NO_TRUTH_FIRST", "check", "F"),
    _mutant("NO_OUTBOX_AFTER_TRUTH", "check", "F"),
    _mutant("NO_CHECK_WITHIN_AGE", "check", "F"),
    _mutant("NO_FRESH_LOOK", "orphan", None),
    _mutant("NO_SWEEP_LOOK", "rebuild", "F"),
    _mutant("NO_SWEEP_LOOK+NO_FRESH_LOOK+ONLY_DAMAGE", "rebuild", "I2"),
    _mutant("NO_CLEAR_VERSION", "clear", None),
    _mutant("NO_TENANT", "clear", "I2"),
    _mutant("NO_RUN_LEFT_OUT", "clear", "F"),
    _mutant("NO_RELAY", "calm", "Q"),
]


@dataclass(frozen=True)
class Explored:
    """What an exploration found: the property that broke (None: none), in how many steps, and the way there."""

    scenario: str
    guards: tuple[str, ...]
    broken: str | None
    steps: int
    states: int
    seconds: float
    story: tuple[str, ...]

    @property
    def row(self) -> str:
        """One line of the table."""
        guards, broken = " + ".join(self.guards) or "(none)", self.broken or "nothing"
        return f"| {guards} | {self.scenario} | {broken} | {self.steps} | {self.states:,} | {self.seconds:.1f} |"


def explore(scenario: str, guards: Sequence[str] = (), *, shortest: bool | None = None) -> Explored:
    """Explore a scenario with these guards taken out. Raises RuntimeError where it could not be explored as a whole.

    ``shortest``: breadth first, as is usual where guards are taken out.
    """
    defines = [f"-D{word}" for word in [*SCENARIOS[scenario].split(), *guards]]
    endless = scenario in ENDLESS
    first = not endless and (bool(guards) if shortest is None else shortest)
    with tempfile.TemporaryDirectory() as name:
        folder, begun = Path(name), time.perf_counter()
        _run(["spin", "-a", *defines, str(MODEL)], folder)
        modes = ["-DNFAIR=3"] if endless else ["-DSAFETY", *(["-DBFS"] if first else [])]
        _run(["gcc", "-O1", "-w", *modes, "-DCOLLAPSE", f"-DMEMLIM={MEMORY}", "-o", "pan", "pan.c"], folder)
        said = _run(["./pan", f"-m{DEPTH}", *(["-a", "-f", "-E"] if endless else [])], folder)
        trail = list(folder.glob("*.trail"))
        replay = _run(["spin", "-t", "-k", str(trail[0]), *defines, str(MODEL)], folder) if trail else ""
        return _found(scenario, tuple(guards), said, replay, time.perf_counter() - begun)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and command[0] != "./pan" and "-t" not in command:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _found(scenario: str, guards: tuple[str, ...], said: str, replay: str, seconds: float) -> Explored:
    states, depth = re.search(r"(\d+) states, stored", said), re.search(r"depth reached (\d+)", said)
    cut = re.search(r"max search depth too small|out of memory|memory limit|Search not completed", said)
    if states is None or depth is None or (cut and not replay):
        raise RuntimeError(f"{scenario} {' '.join(guards)} was not explored as a whole:\n{said}")
    ended = re.search(r"trail ends after (\d+) steps", replay)
    broken = _property(said, replay) if replay else None
    steps = int(ended[1]) if ended else int(depth[1])
    return Explored(scenario, guards, broken, steps, int(states[1]), seconds, _story(replay))


def _property(said: str, replay: str) -> str:
    """Name the property that broke: the comment behind the assertion says it."""
    if at := re.search(r"diptych\.pml:(\d+), Error: assertion", replay):
        line = MODEL.read_text("utf-8").splitlines()[int(at[1]) - 1]
        return line.rpartition("/*")[2].split()[0]
    return "deadlock" if "pan:1: invalid end state" in said else "Q"


def _story(replay: str) -> tuple[str, ...]:
    """Return what the processes did, as the model says it."""
    said = ("writer", "relay", "late", "check", "rebuild", "collect", "vandal", "m0", "m1", "the ", "lost", "given")
    lines = [line.strip() for line in replay.splitlines()]
    words = {"answer 0": "not applied", "answer 1": "applied", "answer 2": "it has a newer one"}
    told = [line for line in lines if line.startswith(said) and "Error" not in line]
    return tuple(re.sub(r"answer \d", lambda found: words[found[0]], line) for line in told)


def wrong(found: Explored, expected: str | None) -> bool:
    """Say whether an exploration ended otherwise than it should."""
    return found.broken != expected


def main(asked: Sequence[str]) -> int:
    """Explore everything, or what is named: scenarios, and guards (joined by ``+``), whose stories are told too."""
    jobs = [(name, (), None) for name in SCENARIOS if not asked or name in asked]
    jobs += [(m.scenario, m.guards, m.breaks) for m in MUTANTS if not asked or "+".join(m.guards) in asked]
    bad = 0
    _say("| guard taken out | scenario | breaks | steps | states | seconds |\n| --- | --- | --- | --- | --- | --- |")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found, (_, _, expected) in zip(pool.map(lambda job: explore(job[0], job[1]), jobs), jobs, strict=True):
            bad += wrong(found, expected)
            _say(found.row + (f" expected: {expected or 'nothing'}" if wrong(found, expected) else ""))
            _say("\n".join(f"    {line}" for line in found.story) if asked else "")
    return int(bad > 0)


def _say(text: str) -> None:
    if text:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
