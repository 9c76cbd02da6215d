"""One store's files in a folder: their names, the lock, and operations that are durable when they return.

<name>.lock              held by the process that has the store open; says which
<name>-<n>.snapshot      the whole store as it was when the log of the same number begins
<name>-<n>.log           what has changed since, up to the snapshot of the next number
….damaged-<time>         what could not be read, kept for whoever wants to look
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

SNAPSHOT, LOG = "snapshot", "log"
_UNFINISHED = ".unfinished"


class Folder:
    """The files of the store ``name`` in ``path``."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._lock: BinaryIO | None = None

    def take(self) -> dict[str, Any] | None:
        """Make the folder and take its lock; return what its holder says of itself where somebody else has it.

        The lock is the system's, on the open file: it ends with its process, however that ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / f"{self.name}.lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock)
            lock.close()
            return holder
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        self._sign(lock)
        return None

    def _sign(self, lock: BinaryIO) -> None:
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}).encode())
        lock.flush()

    def give_back(self) -> None:
        """Release the lock. Safe to call twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def file(self, kind: str, generation: int) -> Path:
        """Return the path of one file."""
        return self.path / f"{self.name}-{generation:08}.{kind}"

    def generations(self, kind: str) -> list[int]:
        """Return the numbers of the files of one kind, in rising order."""
        pattern = re.compile(rf"{re.escape(self.name)}-(\d+)\.{kind}")
        found = (pattern.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def replace(self, target: Path, content: Iterator[bytes]) -> None:
        """Write a file so that it is there whole or not at all, whatever happens meanwhile."""
        unfinished = target.with_name(target.name + _UNFINISHED)
        try:
            with unfinished.open("wb") as file:
                for piece in content:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)
        self.sync()

    def set_aside(self, path: Path) -> Path:
        """Give a damaged file another name."""
        target = aside(path)
        path.rename(target)
        self.sync()
        return target

    def sweep(self) -> None:
        """Remove what a process that died had not finished."""
        for path in self.path.glob(f"{self.name}-*{_UNFINISHED}"):
            path.unlink()

    def sync(self) -> None:
        """Make names durable: those that were given, and those that were taken away."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def aside(path: Path) -> Path:
    """Return the name under which a damaged file is kept."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return path.with_name(f"{path.name}.damaged-{stamp}")


def _holder(lock: BinaryIO) -> dict[str, Any]:
    """Read who holds the lock; whoever took it this moment may not have signed yet."""
    lock.seek(0)
    try:
        said = json.loads(lock.read())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
