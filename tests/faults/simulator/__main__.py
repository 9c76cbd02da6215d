"""The command: look for seeds that fail, replay one, find the least that still fails."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.faults.simulator.faults import Call
from tests.faults.simulator.run import Case, Verdict, run
from tests.faults.simulator.shrink import shrink

#: Seeds that one worker takes at once.
CHUNK = 50
#: Failures after which looking ends.
ENOUGH = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: no rule was broken, 1: one was."""
    options = _parser().parse_args(arguments)
    if options.seed is None:
        return _look(options.first, options.seeds, options.operations, options.jobs)
    case = Case(options.seed, options.operations, options.ops, options.faults, options.order)
    verdict = run(case, keep=options.trace)
    if verdict.broken and options.shrink:
        verdict = run(shrink(verdict, _tell).case, keep=options.trace)
    _show(verdict)
    return 1 if verdict.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults.simulator", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seed", type=int, help="replay this seed")
    what.add_argument("--seeds", type=_positive, default=500, help="look through so many seeds (500)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=_positive, default=os.cpu_count(), help="processes at once (one a core)")
    parser.add_argument("--operations", type=_positive, default=50, help="operations of each run (50)")
    parser.add_argument("--shrink", action="store_true", help="find the least that still fails")
    parser.add_argument("--ops", type=_numbers, help="only these operations of the seed: 3,7,9")
    parser.add_argument("--faults", type=_calls, help="only these faults of the seed: 3.1,7.0, or none")
    parser.add_argument("--order", type=int, default=0, help="another order of what is ready at once")
    parser.add_argument("--trace", action="store_true", help="show every event")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(",") if part)


def _calls(text: str) -> frozenset[Call]:
    pairs = [] if text == "none" else [part.rpartition(".") for part in text.split(",")]
    return frozenset((int(operation), int(number)) for operation, _, number in pairs)


# --- looking ------------------------------------------------------------------------------------------------------


def failing(seeds: Sequence[int], operations: int) -> tuple[list[Verdict], int]:
    """Run seeds; return those that fail, and the steps of all."""
    gc.collect()
    gc.freeze()  # what is here already need not be looked through after every run
    try:
        verdicts = [run(Case(seed, operations)) for seed in seeds]
    finally:
        gc.unfreeze()
    return [verdict for verdict in verdicts if verdict.broken], sum(verdict.steps for verdict in verdicts)


def _look(first: int, seeds: int, operations: int, jobs: int) -> int:
    began, bad, done, steps = time.monotonic(), 0, 0, 0
    for count, broken, took in _results(range(first, first + seeds), operations, jobs):
        done, steps = done + count, steps + took
        for verdict in broken:
            bad += 1
            _show(verdict)
        _tell(f"{done:,} of {seeds:,} seeds, {bad} failed, {time.monotonic() - began:.0f} s")
        if bad >= ENOUGH:
            break
    seconds = time.monotonic() - began
    _say(f"{done:,} seeds of {operations} operations, {steps:,} steps, {bad} failed, {seconds:.0f} s")
    return 1 if bad else 0


def _results(seeds: range, operations: int, jobs: int) -> Iterator[tuple[int, list[Verdict], int]]:
    """Yield, chunk by chunk in order, how many were run, which failed, and the steps that were taken."""
    numbers = iter(seeds)
    chunks = list(iter(lambda: list(islice(numbers, CHUNK)), []))
    if jobs == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield len(chunk), *failing(chunk, operations)
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(failing, chunk, operations) for chunk in chunks]
        try:
            for chunk, future in zip(chunks, futures, strict=True):
                yield len(chunk), *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


# --- showing ------------------------------------------------------------------------------------------------------


def command(case: Case) -> str:
    """Return the command that replays a case."""
    said = [f"python -m tests.faults.simulator --seed {case.seed}"]
    if case.operations != 50:
        said.append(f"--operations {case.operations}")
    if case.ops is not None:
        said.append(f"--ops {','.join(map(str, sorted(case.ops)))}")
    if case.faults is not None:
        said.append(f"--faults={','.join(f'{op}.{number}' for op, number in sorted(case.faults)) or 'none'}")
    if case.order:
        said.append(f"--order {case.order}")
    return " ".join(said)


def _show(verdict: Verdict) -> None:
    for line in verdict.lines:
        _say(line)
    if not verdict.broken:
        _say(f"Seed {verdict.case.seed}: nothing is broken (trace {verdict.digest}, {verdict.steps:,} steps).")
        return
    _say(f"Seed {verdict.case.seed} (trace {verdict.digest}) breaks:")
    for sentence in verdict.broken[:5]:
        _say(f"  {sentence}")
    if verdict.case.ops is not None:
        for op in verdict.case.workload().ops:
            _say(f"  operation {op}")
        for (operation, number), name, fault in verdict.injected:
            _say(f"  fault {operation}.{number}: {name} {fault}")
    again = command(verdict.case)
    _say(f"Again: {again}" + ("" if verdict.case.ops is not None else " --shrink"))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
