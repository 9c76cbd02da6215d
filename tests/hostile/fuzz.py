"""`make fuzz SECONDS=60`: a fuzzer that looks at coverage (atheris) at everything that takes apart what others wrote.

Each target runs in a process of its own, for its share of the seconds, held to a limit of memory and of time for one
input. What breaks a target is printed as a line that a test can take, and kept in a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

#: Megabytes that a process may take, and seconds that one input may take.
MEGABYTES, SLOW = 2_048, 20
LONGEST = 4_096


def main() -> int:
    """Fuzz the targets that are named, or all; return 1 where one of them broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="all, where none is named")
    parser.add_argument("--seconds", type=float, default=60, help="for all of them together")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args()
    if importlib.util.find_spec("atheris") is None:
        parser.exit(2, "atheris is not installed. Try: make fuzz\n")
    if asked.here:
        return _here(asked.here, rest)
    from tests.hostile.inputs import TARGETS  # noqa: PLC0415  # a child imports them under the fuzzer's eyes

    names = asked.targets or list(TARGETS)
    broken = [name for name in names if not _fuzzed(name, max(1, round(asked.seconds / len(names))))]
    print(f"broken: {', '.join(broken) or 'none'}")  # noqa: T201  # the command's answer
    return 1 if broken else 0


def _fuzzed(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; say whether it held."""
    from tests.hostile.inputs import SEEDS  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as place:
        for number, seed in enumerate(SEEDS.get(name, [])):
            (Path(place) / f"seed-{number}").write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEGABYTES}", f"-timeout={SLOW}", "-seed=7"]
        command = [sys.executable, "-m", "tests.hostile.fuzz", "--here", name, *limits, f"-max_len={LONGEST}", place]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    last = [line for line in ran.stderr.splitlines() if line.startswith(("#", "Done", "stat::"))][-1:]
    print(f"{name:16} {'held' if ran.returncode == 0 else 'BROKE'}  {' '.join(last)}", flush=True)  # noqa: T201
    if ran.returncode:
        print(ran.stderr[-4_000:])  # noqa: T201
    return ran.returncode == 0


def _here(name: str, rest: list[str]) -> int:
    """Fuzz one target in this process, with what it is made of instrumented."""
    import atheris  # noqa: PLC0415  # of the group `fuzz`, which nothing else needs

    with atheris.instrument_imports(include=["persistence", "api", "sync", "jwt"]):
        from tests.hostile.inputs import TARGETS  # noqa: PLC0415
    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *rest], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
