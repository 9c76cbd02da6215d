"""Ends servers when the process that started this script is gone, however it went; run as a script of its own.

    python watch.py FOLDER…  < pipe

The pipe's other end is held by the process that is watched. At its end, each folder's server (see daemon.py) is
killed with all that it has started, and the folder is removed. Only the standard library is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 10.0


def main() -> None:
    """Wait for the end of standard input, then end the servers of the folders named as arguments."""
    sys.stdin.buffer.read()
    for folder in map(Path, sys.argv[1:]):
        end_server(folder / "pid")
        shutil.rmtree(folder, ignore_errors=True)


def end_server(file: Path) -> None:
    """Kill the server whose process file this is, if it lives."""
    deadline = time.monotonic() + PATIENCE
    while _is_locked(file) and time.monotonic() < deadline:
        text = file.read_text("ascii").strip()
        for pid in _family(int(text)) if text.isdigit() else []:
            _kill(pid)
        time.sleep(0.05)


def _is_locked(file: Path) -> bool:
    import fcntl  # noqa: PLC0415 - there is none on Windows

    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _family(pid: int) -> list[int]:
    """Return the process and its children; a stopped child does not see that its parent has died."""
    return [pid, *(child for child, parent in _processes() if parent == pid)]


def _processes() -> Iterator[tuple[int, int]]:
    """Yield each process with its parent: a small Linux has no `ps`, other systems have no /proc."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)  # noqa: S607
        for line in listing.stdout.splitlines():
            child, parent = map(int, line.split())
            yield child, parent
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        yield int(folder.name), int(said.rpartition(b")")[2].split()[1])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
