"""The command: take guards out one at a time, and print what became of it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from persistence.errors import ConfigurationError
from persistence.local import LocalServer, Neo4jServer, PostgresServer
from tests.conftest import NEO4J_JVM, POSTGRES_OPTIONS, cache_folder, started
from tests.faults.mutants.catalogue import Guard, chosen, guards
from tests.faults.mutants.copying import copied
from tests.faults.mutants.table import HEAD, row, summary
from tests.faults.mutants.trial import Trial, TrialError, Verdict, run, tried

SERVERS: Mapping[str, tuple[str, Callable[[Path], LocalServer]]] = {
    "postgres": ("DIPTYCH_TEST_POSTGRES_URL", lambda folder: PostgresServer(folder, options=POSTGRES_OPTIONS)),
    "neo4j": (
        "DIPTYCH_TEST_NEO4J_URL",
        lambda folder: Neo4jServer(folder, port=0, program=cache_folder() / "neo4j", jvm=NEO4J_JVM),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: every guard was caught, 1: one was not, 2: the tests fail with every guard in its place."""
    parser = argparse.ArgumentParser("python -m tests.faults.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="guards or areas (all of them)")
    options = parser.parse_args(arguments)
    try:
        listed = chosen(options.names, guards())
    except LookupError as error:
        parser.error(str(error))
    with copied() as copy, kept_up({name for guard in listed for name in guard.servers}) as environment:
        if wrong := _baseline(listed, copy, environment):
            _say(f"Before any guard was taken out: {wrong}")
            return 2
        return _tried(listed, copy, environment)


def _baseline(listed: Sequence[Guard], copy: Path, environment: Mapping[str, str]) -> str | None:
    """Say which of the tests does not pass with every guard in its place, None where all do."""
    try:
        ended = run(copy, [test for guard in listed for test in guard.asked], environment)
    except TrialError as error:
        return str(error)
    wrong = [f"{test} {end.outcome}: {end.said}" for test, end in ended.items() if end.outcome != "passed"]
    return "\n".join(wrong) or None


def _tried(listed: Sequence[Guard], copy: Path, environment: Mapping[str, str]) -> int:
    began, trials = time.monotonic(), []
    _say(HEAD)
    for trial in _trials(listed, copy, environment):
        trials.append(trial)
        _say(row(trial))
    _say(summary(trials, time.monotonic() - began))
    return int(any(trial.verdict is not Verdict.CAUGHT for trial in trials))


def _trials(listed: Sequence[Guard], copy: Path, environment: Mapping[str, str]) -> Iterator[Trial]:
    return (tried(guard, copy, environment) for guard in listed)


@contextmanager
def kept_up(names: set[str]) -> Iterator[dict[str, str]]:
    """Keep servers up over all trials, and yield where they are; those that the environment names are left to it.

    Where one cannot be had on this machine, the tests look for it in their own way.
    """
    environment: dict[str, str] = {}
    with ExitStack() as stack:
        for name in sorted(names):
            variable, make = SERVERS[name]
            if variable in os.environ:
                continue
            try:
                environment[variable] = stack.enter_context(started(make)).url
            except ConfigurationError as error:
                _say(f"{name}: {error.message}")
        yield environment


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # else the copy would stay
    sys.exit(main())
