"""A folder of backups: each is a folder of its own, which appears under its name once it is whole and on the disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persistence.errors import BackupDamagedError, BackupError
from persistence.opening import private
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
        """Return the names of what is there, in the order of time; what is unfinished has none yet.

        What somebody has named otherwise (a copy, say) comes before all: its name tells no time, and is not the newest.
        """
        try:
            there = [p.name for p in self.path.iterdir() if (p / m.NAME).is_file() and not p.name.startswith(".")]
        except OSError as error:
            raise BackupError(f"{self.path} is no folder that can be read: {error.strerror}.") from error
        return sorted(there, key=lambda name: (m.is_folder_name(name), name))

    def readable(self) -> Iterator[tuple[str, Manifest]]:
        """Yield names and manifests in that order; a damaged one is told of by who asks for that backup."""
        for name in self.names():
            try:
                yield name, m.read(self.path / name)[0]
            except BackupDamagedError:
                continue

    def sweep(self) -> None:
        """Remove what those left who died at their work. Only for who holds the folder alone."""
        with self._writing():
            for name in self.left():
                shutil.rmtree(self.path / name)

    def left(self) -> list[str]:
        """Return the names of what is being written or removed, or was when somebody died at it."""
        return sorted(p.name for p in self.path.iterdir() if _is_left(p.name) and p.is_dir() and not p.is_symlink())

    def unfinished(self, name: str) -> Path:
        """Return the folder in which a backup is written before it has its name."""
        return self.path / f".{name}{_UNFINISHED}"

    def begin(self, unfinished: Path) -> None:
        """Make that folder, for its owner alone."""
        with self._writing():
            unfinished.mkdir(mode=0o700)

    def finish(self, unfinished: Path, manifest: Manifest, seal: str | None) -> Path:
        """Write the manifest, and give the backup its name. What is there by then is on the disk."""
        said = m.as_json(manifest)
        sealed = {"manifest": said, "sha256": m.digest(said), "seal": seal}
        target = self.path / m.name_of(manifest)
        with self._writing():
            with open(unfinished / m.NAME, "x", encoding="utf-8", opener=private) as file:
                json.dump(sealed, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            _sync(unfinished)
            unfinished.rename(target)
            _sync(self.path)
        return target

    def drop(self, name: str) -> None:
        """Remove a backup; killed half-way, it is gone all the same."""
        gone = self.path / f".{name}{_GONE}"
        with self._writing():
            (self.path / name).rename(gone)
            _sync(self.path)
            shutil.rmtree(gone)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.path, error) from error


def unwritable(path: Path, error: OSError) -> BackupError:
    """Return the error of a folder of backups in which something cannot be written or removed."""
    return BackupError(f"{path} cannot be written: {error.strerror or error}.", hint="look for space and rights there")


def _is_left(name: str) -> bool:
    """Say whether that is what a backup's folder is called on its way: others may keep theirs in the same place."""
    stem = name.removesuffix(_UNFINISHED).removesuffix(_GONE)
    return stem != name and name.startswith(".") and m.is_folder_name(stem[1:])


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
