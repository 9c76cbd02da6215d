"""Runs tests in the copy, and judges what they say of a guard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.faults.mutants.catalogue import Guard, StaleError
from tests.faults.mutants.copying import changed

#: Seconds that one test may take, and one run of all that are named for a guard: without it some wait for ever.
TEST_TIME, RUN_TIME = 60, 600
#: Without the others a run begins in half the time.
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "no:cacheprovider", "tests.faults.mutants.listening")
#: How pytest ends when its tests were run: all passed, some failed.
RAN = (0, 1)


class TrialError(Exception):
    """The tests could not be run."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one test ended: passed, failed, skipped, error (in what was prepared for it)."""

    outcome: str
    said: str


class Verdict(StrEnum):
    """What became of a guard that was taken out."""

    CAUGHT = "yes"
    SURVIVED = "no"
    """A test that is named for it passed without it."""
    UNTRIED = "not tried"
    """A test that is named for it was skipped, or was not run."""
    BROKEN = "broken"
    """More than the guard is gone: a test fails that has nothing to do with it, or none can be run."""
    STALE = "stale"
    """The guard is no longer where the list says."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One guard, tried. ``said``: by the first test that failed, or what is wrong with the trial."""

    guard: Guard
    verdict: Verdict
    said: str
    seconds: float


def tried(guard: Guard, copy: Path, environment: Mapping[str, str]) -> Trial:
    """Take a guard out of the copy, run its tests, put it back."""
    began = time.monotonic()
    try:
        with changed(copy, guard.without(copy)):
            verdict, said = judged(guard, run(copy, guard.asked, environment))
    except StaleError as error:
        verdict, said = Verdict.STALE, str(error)
    except TrialError as error:
        verdict, said = Verdict.BROKEN, str(error)
    return Trial(guard, verdict, said, time.monotonic() - began)


def judged(guard: Guard, ended: Mapping[str, Ended]) -> tuple[Verdict, str]:
    """Say what the ends of a guard's tests mean."""
    for test in guard.still:
        if wrong := _not_passed(test, ended):
            return Verdict.BROKEN, wrong
    said = ""
    for test in guard.tests:
        outcomes = {one.outcome: one.said for one in _of(test, ended)}
        if "failed" not in outcomes:
            return Verdict.SURVIVED if "passed" in outcomes else Verdict.UNTRIED, f"{test}: {outcomes}"
        said = said or outcomes["failed"]
    return Verdict.CAUGHT, said


def _not_passed(test: str, ended: Mapping[str, Ended]) -> str | None:
    ends = _of(test, ended) or [Ended("not run", "")]
    return next((f"{test} {one.outcome}: {one.said}" for one in ends if one.outcome != "passed"), None)


def _of(test: str, ended: Mapping[str, Ended]) -> list[Ended]:
    """Return the ends of a test, which may have been run with several parameters."""
    return [end for name, end in ended.items() if name == test or name.startswith(f"{test}[")]


def run(copy: Path, tests: Sequence[str], environment: Mapping[str, str]) -> dict[str, Ended]:
    """Run these tests in the copy. Raises TrialError where they cannot be run, or where other code than its own ran."""
    with tempfile.TemporaryDirectory(prefix="diptych-told-") as folder:
        told = Path(folder) / "told.json"
        code, output = _pytest(copy, [f"--told={told}", *dict.fromkeys(tests)], environment)
        if code not in RAN or not told.exists():
            raise TrialError(f"pytest ended with {code}: {_last(output)}")
        answer = json.loads(told.read_text("utf-8"))
    if answer["foreign"]:
        raise TrialError(f"This was not loaded from the copy: {answer['foreign'][0]}")
    return {test: Ended(*end) for test, end in answer["ended"].items()}


def _pytest(copy: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run pytest in a process group of its own, which goes as a whole."""
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, f"--timeout={TEST_TIME}", *arguments]
    own = {"PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    inherited = {**os.environ, **environment, **own}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=copy, env=inherited, start_new_session=True, **pipes) as process:
        try:
            output, _ = process.communicate(timeout=RUN_TIME)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL, f"It was not done after {RUN_TIME} s."
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("E  ", "ERROR"))] or output.splitlines()
    return lines[-1].strip() if lines else "it said nothing"
