"""The command: run a soak, show the verdict; exit 1 where something grows without bound, is lost or is not in step."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from persistence.errors import ConfigurationError
from persistence.local import Neo4jServer, PostgresServer
from tests.conftest import NEO4J_JVM, POSTGRES_OPTIONS, cache_folder, started
from tests.faults.soak.soak import Soak
from tests.faults.soak.verdict import Verdict

OUT = Path("benchmarks/results/soak")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: passed, 1: not, 2: it could not be run."""
    options = _parser().parse_args(arguments)
    soak = Soak(options.minutes * 60, options.seed, options.out, _tell)
    try:
        verdict = _run(soak)
    except ConfigurationError as error:
        _tell(f"{error.message} Try: {error.hint}.")
        return 2
    except KeyboardInterrupt:
        _tell("Interrupted; nothing is judged.")
        return 2
    _show(soak, verdict)
    return 1 if verdict.faults else 0


def _run(soak: Soak) -> Verdict:
    with ExitStack() as stack:
        postgres = stack.enter_context(started(lambda folder: PostgresServer(folder, options=POSTGRES_OPTIONS)))
        program = cache_folder() / "neo4j"
        neo4j = stack.enter_context(started(lambda folder: Neo4jServer(folder, port=0, program=program, jvm=NEO4J_JVM)))
        return asyncio.run(soak.run(postgres, neo4j))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=_positive, default=30.0, help="how long the load and the faults last (30)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of load and faults (1)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the folder of what is written down ({OUT})")
    return parser


def _positive(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 10_080:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes between 0 and a week")
    return minutes


def _show(soak: Soak, verdict: Verdict) -> None:
    _tell(f"faults: {dict(soak.done)}")
    _tell(f"after the calm: {dict(verdict.end)}")
    for trend in verdict.trends:
        _tell(f"{trend.sentence()} (first {trend.first}, last {trend.last}, peak {trend.peak})")
    for fault in verdict.faults:
        _tell(f"FAULT: {fault}")
    _tell(f"{'FAILED' if verdict.faults else 'PASSED'}; see {soak.out}")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
