"""Break real stores for some minutes while processes write to them, and say what was lost: exit 1 if anything was."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from persistence.errors import ConfigurationError
from persistence.local import Neo4jServer, PostgresServer, QdrantServer
from tests.conftest import NEO4J_JVM, POSTGRES_OPTIONS, cache_folder, started
from tests.faults.histories.calm import StoresBehindPort
from tests.faults.histories.figures import Figures
from tests.faults.histories.run import Plan, Servers, run
from tests.faults.stores import Stores

#: Violations that are shown; the histories hold all.
SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: nothing was lost, 1: a rule was broken, 2: there are no such servers here."""
    options = _parser().parse_args(arguments)
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # that it is away is the point
    folder = options.keep or Path(tempfile.mkdtemp(prefix="diptych-histories-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return _refuse(f"{folder} holds something already.")
    plan = Plan(options.minutes * 60, options.seed, options.workers)
    try:
        figures = _run(plan, options.truth, folder)
    except ConfigurationError as error:
        return _refuse(f"{error.message} Try: {error.hint}.")
    _show(figures, folder, plan)
    return 1 if figures.violations else 0


def _run(plan: Plan, truth: str, folder: Path) -> Figures:
    with ExitStack() as stack:
        graph = stack.enter_context(
            started(lambda at: Neo4jServer(at, port=0, program=cache_folder() / "neo4j", jvm=NEO4J_JVM))
        )
        if truth == "qdrant":
            server = stack.enter_context(started(lambda at: QdrantServer(at, port=0)))
            kind: type[Stores] = StoresBehindPort
        else:
            server = stack.enter_context(started(lambda at: PostgresServer(at, options=POSTGRES_OPTIONS)))
            kind = Stores
        stores = kind(server.url, f"run_{uuid.uuid4().hex[:8]}", graph.url)
        return asyncio.run(run(plan, stores, Servers(server, graph), folder, _tell))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults.histories", description=__doc__)
    parser.add_argument("--minutes", type=_above_zero, default=1.0, help="of storm, calms not counted (1)")
    parser.add_argument("--seed", type=int, default=0, help="of workers and nemesis (0)")
    parser.add_argument("--workers", type=_count, default=3, help="processes that write (3)")
    parser.add_argument("--truth", choices=["postgres", "qdrant"], default="postgres", help="the vector store")
    parser.add_argument("--keep", type=Path, help="the folder for histories and logs (a temporary one)")
    return parser


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


def _show(figures: Figures, folder: Path, plan: Plan) -> None:
    for line in figures.lines():
        sys.stdout.write(f"{line}\n")
    for sentence in figures.violations[:SHOWN]:
        sys.stdout.write(f"  {sentence}\n")
    sys.stdout.write(f"{len(figures.violations)} rules broken; seed {plan.seed}, histories in {folder}\n")


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2


def _tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


if __name__ == "__main__":
    sys.exit(main())
