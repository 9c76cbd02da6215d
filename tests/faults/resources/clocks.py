"""Wrong clocks of real processes: a shared object that is preloaded (clock.c), and a file that says how wrong."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from persistence.local import Neo4jServer, PostgresServer

_SOURCE = Path(__file__).with_name("clock.c")
_MICROSECONDS = struct.Struct("=q")


class Clock:
    """The clock of one machine. ``environment`` makes a process go by it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.file = folder / "clock"
        self.file.write_bytes(_MICROSECONDS.pack(0))
        self.file.chmod(0o644)
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self.file)}

    def set(self, seconds: float) -> None:
        """Let it be so many seconds ahead of the true time, from now on."""
        with self.file.open("r+b", buffering=0) as file:
            file.write(_MICROSECONDS.pack(round(seconds * 1_000_000)))


def library(folder: Path) -> Path:
    """Build what is preloaded; skip the test, with the reason, where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("There is no C compiler to build the wrong clock with. Try: apt-get install gcc.")
    made = folder / "clock.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", made, _SOURCE], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"The wrong clock could not be built: {done.stderr.strip()[-200:]}")
    made.chmod(0o755)
    return made


class PostgresByClock(PostgresServer):
    """A Postgres that goes by a clock of its own."""

    clock: Clock

    def environment(self) -> Mapping[str, str]:
        return self.clock.environment


class Neo4jByClock(Neo4jServer):
    """A Neo4j that goes by a clock of its own."""

    clock: Clock

    def environment(self) -> Mapping[str, str]:
        return {**(super().environment() or {}), **self.clock.environment}
