"""A folder of backups: each is a folder of its own, which appears under its name once it is whole and on the disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persistence.errors import BackupError
from sync.backing import manifest as m
from sync.backing.manifest import Manifest

_UNFINISHED, _GONE = ".unfinished", ".gone"


class Shelf:
    """The backups in one folder. Every method is for a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder, for its owner alone, where it is not there."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BackupError(f"{self.path} cannot be made: {error.strerror}.") from error

    @contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """Hold the folder: ``alone`` to change it, else with others who read it. The lock ends with its process."""
        handle = self._open()
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise BackupError(
                f"Somebody else is at work in {self.path}.", hint="wait for them, and try again"
            ) from error
        finally:
            os.close(handle)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise BackupError(f"{self.path} is no folder that can be read: {error.strerror}.") from error

    def names(self) -> list[str]:
        """Return the names of what is there, in the order of time; what is unfinished has none yet."""
        try:
            return sorted(p.name for p in self.path.iterdir() if (p / m.NAME).exists() and not p.name.startswith("."))
        except OSError as error:
            raise BackupError(f"{self.path} is no folder that can be read: {error.strerror}.") from error

    def sweep(self) -> None:
        """Remove what those left who died at their work. Only for who holds the folder alone."""
        for ending in (_UNFINISHED, _GONE):
            for path in self.path.glob(f".*{ending}"):
                shutil.rmtree(path)

    def unfinished(self, name: str) -> Path:
        """Return the folder in which a backup is written before it has its name."""
        return self.path / f".{name}{_UNFINISHED}"

    def finish(self, unfinished: Path, manifest: Manifest, seal: str | None) -> Path:
        """Write the manifest, and give the backup its name. What is there by then is on the disk."""
        said = m.as_json(manifest)
        sealed = {"manifest": said, "sha256": m.digest(said), "seal": seal}
        with open(unfinished / m.NAME, "x", encoding="utf-8", opener=private) as file:
            json.dump(sealed, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _sync(unfinished)
        target = self.path / m.name_of(manifest)
        unfinished.rename(target)
        _sync(self.path)
        return target

    def drop(self, name: str) -> None:
        """Remove a backup; killed half-way, it is gone all the same."""
        gone = self.path / f".{name}{_GONE}"
        (self.path / name).rename(gone)
        _sync(self.path)
        shutil.rmtree(gone)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
