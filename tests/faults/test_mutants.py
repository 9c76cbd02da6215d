"""Guards are load-bearing: the list fits the code, its tests are there, and one guard is really taken out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.mutants.__main__ import main
from tests.faults.mutants.catalogue import AREAS, Edit, Guard, StaleError, chosen, guards
from tests.faults.mutants.copying import ROOT, copied
from tests.faults.mutants.trial import PLUGINS, Ended, Verdict, judged, tried

QUICK = "version condition of the graph in memory"


def test_every_guard_can_still_be_taken_out() -> None:
    """Each guard is where the list says, once: whoever changes its code has to say what becomes of it."""
    for guard in guards():
        assert guard.without(ROOT)


def test_the_list_is_in_order() -> None:
    """Every area has its guards, each under a name of its own, with a sentence, a test to fail and one to pass."""
    listed = guards()
    assert {guard.area for guard in listed} == set(AREAS)
    assert len({guard.name for guard in listed}) == len(listed) >= 25
    assert [guard.name for guard in listed if not (guard.tests and guard.still and guard.breaks.endswith("."))] == []
    assert [guard.name for guard in listed if set(guard.tests) & set(guard.still)] == []


def test_every_named_test_is_there() -> None:
    """Each test that is named for a guard can be collected under that name."""
    named = list(dict.fromkeys(test for guard in guards() for test in guard.asked))
    plugins = [word for plugin in PLUGINS[:-1] for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *plugins, *named]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


def test_a_guard_is_taken_out_and_caught(capsys: pytest.CaptureFixture[str]) -> None:
    """The command tries the guards that it is asked for, in a copy, and prints the table."""
    before = (ROOT / "persistence/graph/memory/tenant.py").read_bytes()
    assert main([QUICK]) == 0
    said = capsys.readouterr().out
    assert f"| {QUICK} |" in said
    assert "1 guards, 1 caught, 0 not" in said
    assert (ROOT / "persistence/graph/memory/tenant.py").read_bytes() == before


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    with copied() as copy:
        yield copy


@pytest.fixture
def quick() -> Guard:
    (guard,) = chosen([QUICK], guards())
    return guard


def test_a_change_that_no_test_notices_survives(copy: Path, quick: Guard) -> None:
    """What takes nothing away is told as not caught."""
    harmless = replace(quick, edits=(replace(quick.edits[0], new=quick.edits[0].old + "  # the same"),))
    trial = tried(harmless, copy, {})
    assert (trial.verdict, trial.said) == (Verdict.SURVIVED, f"{quick.tests[0]}: {{'passed': ''}}")


@pytest.mark.faults
def test_a_change_that_breaks_everything_is_no_guard_taken_out(copy: Path, quick: Guard) -> None:
    """Where nothing can be imported any more, or another test fails too, nothing is proved; the copy is whole again."""
    syntax = replace(quick, edits=(replace(quick.edits[0], new="    if ("),))
    assert tried(syntax, copy, {}).verdict is Verdict.BROKEN
    accepting = "    if node is None or node.version < write.version:"
    too_much = replace(quick, edits=(Edit(quick.file, accepting, "    if write.version < 0:"),))
    assert tried(too_much, copy, {}).verdict is Verdict.BROKEN
    assert tried(quick, copy, {}).verdict is Verdict.CAUGHT


PASSED, FAILED, SKIPPED, ERROR = (Ended(outcome, "so") for outcome in ("passed", "failed", "skipped", "error"))


@pytest.mark.parametrize(
    ("first", "second", "still", "verdict"),
    [
        (FAILED, FAILED, PASSED, Verdict.CAUGHT),
        (FAILED, PASSED, PASSED, Verdict.SURVIVED),
        (FAILED, SKIPPED, PASSED, Verdict.UNTRIED),
        (FAILED, ERROR, PASSED, Verdict.UNTRIED),
        (FAILED, FAILED, FAILED, Verdict.BROKEN),
        (FAILED, FAILED, SKIPPED, Verdict.BROKEN),
    ],
)
def test_what_the_ends_of_tests_mean(quick: Guard, first: Ended, second: Ended, still: Ended, verdict: Verdict) -> None:
    """Each test that is named has to fail, by itself, and the others to pass; what was skipped proves nothing."""
    guard = replace(quick, tests=("a.py::one", "a.py::two"), still=("a.py::other",))
    ended = {"a.py::one[x]": first, "a.py::one[y]": PASSED, "a.py::two": second, "a.py::other[z]": still}
    assert judged(guard, ended)[0] is verdict


def test_a_test_that_did_not_run_proves_nothing(quick: Guard) -> None:
    """Where a test that has to pass was not run, nothing is proved."""
    guard = replace(quick, tests=("a.py::one",), still=("a.py::other",))
    assert judged(guard, {"a.py::one": FAILED})[0] is Verdict.BROKEN
    assert judged(guard, {"a.py::other": PASSED})[0] is Verdict.UNTRIED


@pytest.mark.parametrize("old", ["not there", "twice"])
def test_a_guard_that_has_moved_is_told(tmp_path: Path, quick: Guard, old: str) -> None:
    """Text that is not in its file, or there more than once, is not guessed at."""
    (tmp_path / "file.py").write_text("twice twice once")
    guard = replace(quick, edits=(Edit("file.py", old, "else"),))
    with pytest.raises(StaleError, match="not once"):
        guard.without(tmp_path)
    with pytest.raises(StaleError, match="no file"):
        replace(guard, edits=(Edit("gone.py", "a", "b"),)).without(tmp_path)


def test_several_edits_of_one_file(tmp_path: Path, quick: Guard) -> None:
    """A guard that stands in two places of a file is taken out of both."""
    (tmp_path / "file.py").write_text("one two three")
    edits = (Edit("file.py", "one", "1"), Edit("file.py", "three", "3"))
    assert replace(quick, edits=edits).without(tmp_path) == {"file.py": "1 two 3"}


def test_a_name_that_nobody_knows() -> None:
    """A guard that is asked for by a name that is not in the list is refused, not passed over."""
    with pytest.raises(LookupError, match="no guard and no area nothing"):
        chosen(["nothing", "write"], guards())
