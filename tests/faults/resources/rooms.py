"""Little rooms: a folder that can be full, on a small file system of its own where this user may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MEGABYTE = 1 << 20


class Room:
    """A folder on a file system of ``megabytes``, which ``fill`` fills to the last page and ``clear`` empties again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all the room there is, but for so many bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            while (size := min(self._free() - leave, _MEGABYTE)) > 0:
                file.write(bytes(size))
            os.fsync(file.fileno())

    def clear(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def _free(self) -> int:
        there = os.statvfs(self.path)
        return there.f_bavail * there.f_frsize


@contextmanager
def room(path: Path, megabytes: int) -> Iterator[Room | None]:
    """Mount a tmpfs of this size for the block; None where this user may not: then a limit has to stand in for it."""
    path.mkdir(mode=0o755)
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(path)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield Room(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)


def say(request: pytest.FixtureRequest, what: str) -> None:
    """Say in the test's output, and its report, what the limit was made with."""
    request.node.add_report_section("call", "limit", what)
    request.node.user_properties.append(("limit", what))
