"""Finding the newest state among files of which some may be torn or damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from persistence.errors import ConfigurationError, SchemaTooNewError
from persistence.files.folder import LOG, SNAPSHOT, Folder, aside
from persistence.files.frames import BadFrameError, frames, is_torn
from persistence.files.log import Log
from persistence.files.source import Faults, Source, header

#: The last payload of a snapshot.
END = b"end"
#: The log of this number begins with the empty store.
FIRST = 1
#: What taking a payload apart raises where nobody who keeps to the format has written it.
_FOREIGN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class _Ending(NamedTuple):
    """Where the good part of a log ends."""

    size: int
    number: int


class Recovery:
    """Finds the newest state. ``notices``: what was found damaged; ``outdated``: files of an older format were read."""

    def __init__(self, folder: Folder, source: Source, faults: Faults) -> None:
        self.notices: list[str] = []
        self.outdated = False
        self.generation = FIRST
        self._folder = folder
        self._source = source
        self._faults = faults

    def log(self) -> Log:
        """Load the store, and return the log that goes on from there.

        Raises OSError, SchemaTooNewError, ConfigurationError, and ``refused`` where nothing good is left.
        """
        self._folder.sweep()
        logs = self._folder.generations(LOG)
        if not logs and not self._folder.generations(SNAPSHOT):
            self._source.clear()
            return self._begin()
        base = self._load_base(logs)
        return self._replay(base, [number for number in logs if number >= base])

    def _begin(self) -> Log:
        log = Log.begin(self._folder.file(LOG, self.generation), header(self._source, self.generation))
        self._folder.sync()
        return log

    def _load_base(self, logs: list[int]) -> int:
        """Load the newest good snapshot; set aside those that are not, once another one has been found."""
        damaged: list[Path] = []
        for generation in reversed(self._folder.generations(SNAPSHOT)):
            path = self._folder.file(SNAPSHOT, generation)
            if self._loaded(path):
                self._say_damaged(damaged, f"the backup {path.name} and the logs since it were used")
                return generation
            damaged.append(path)
        if logs[:1] != [FIRST]:
            raise self._faults.refused(
                f"Every snapshot of the {self._source.kind} in {self._folder.path} is damaged; it was left as it is.",
                hint="put a backup of the folder in its place",
            )
        self._source.clear()
        self._say_damaged(damaged, "the logs since the beginning were used")
        return FIRST

    def _say_damaged(self, damaged: list[Path], instead: str) -> None:
        for path in damaged:
            moved = self._folder.set_aside(path)
            self.notices.append(f"{path.name} is damaged and was set aside as {moved.name}; {instead}.")

    def _loaded(self, path: Path) -> bool:
        """Load a snapshot; False where it is damaged. What was loaded of it is cleared by whoever loads another."""
        self._source.clear()
        last = b""
        try:
            with path.open("rb") as file:
                version = None
                for frame in frames(file):
                    with self._told(path, frame.number):
                        if version is None:
                            version = self._version(frame.payload, path)
                        elif frame.payload != END:
                            self._source.load(version, frame.payload)
                    last = frame.payload
        except BadFrameError:
            return False
        return last == END

    @contextmanager
    def _told(self, path: Path, number: int) -> Iterator[None]:
        """Refuse what is whole by its checksum and still no record of ours: it is no damage, so nothing is cut off."""
        try:
            yield
        except _FOREIGN as error:
            raise self._faults.refused(
                f"Record {number} of {path} was not written by diptych; the file was left as it is.",
                hint="put a backup of the folder in its place",
            ) from error

    def _version(self, header: bytes, path: Path) -> int:
        """Return the version of a file's format. Raises SchemaTooNewError, ConfigurationError (another store's)."""
        said = json.loads(header)
        if said["kind"] != self._source.kind:
            raise ConfigurationError(f"{path} is a file of another store: a {said['kind']}.")
        if said["format"] > self._source.format:
            raise SchemaTooNewError(
                f"{path} is of format {said['format']}, and this version reads {self._source.format}."
            )
        self.outdated = self.outdated or said["format"] < self._source.format
        return int(said["format"])

    def _replay(self, base: int, logs: list[int]) -> Log:
        """Do what the logs say, in their order, up to the first damage; nothing after it is trusted."""
        self.generation = base
        ending: _Ending | None = None
        for expected, number in enumerate(logs, base):
            if number != expected:
                break
            ending, whole = self._read_log(self._folder.file(LOG, number), None if ending is None else ending.number)
            self.generation = number
            if not whole:
                break
        path = self._folder.file(LOG, self.generation)
        if ending is None:
            self.notices.append(f"{path.name} is missing; what it said is lost.")
        self._set_aside_after(logs)
        if ending is None or ending.number < 0:
            path.unlink(missing_ok=True)
            return self._begin()
        return Log(path, ending.size, ending.number)

    def _set_aside_after(self, logs: list[int]) -> None:
        for path in [self._folder.file(LOG, number) for number in logs if number > self.generation]:
            moved = self._folder.set_aside(path)
            self.notices.append(
                f"{path.name} follows what is missing or damaged, so it was set aside as {moved.name};"
                " what it says is lost."
            )

    def _read_log(self, path: Path, before: int | None) -> tuple[_Ending, bool]:
        """Do what a log says; return where its good part ends, and whether that was all. The rest is cut off.

        ``before``: the last record that was read of the log before, where one was.
        """
        ending = _Ending(0, -1)
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                version = None
                for frame in frames(file):
                    with self._told(path, frame.number):
                        if version is None:
                            _follow(before, frame.payload)
                            version = self._version(frame.payload, path)
                        else:
                            self._source.load(version, frame.payload)
                    ending = _Ending(frame.end, frame.number)
            except BadFrameError as error:
                if not is_torn(file, error.offset, size):
                    self._say_cut(path, error.offset)
                file.truncate(error.offset)
                os.fsync(file.fileno())
                return ending, False
        return ending, True

    def _say_cut(self, path: Path, offset: int) -> None:
        copy = aside(path)
        shutil.copyfile(path, copy)
        self._folder.sync()
        self.notices.append(
            f"{path.name} is damaged at byte {offset}: what follows is not trusted and was cut off; the whole file was"
            f" kept as {copy.name}."
        )


def _follow(before: int | None, header: bytes) -> None:
    """Raise BadFrameError where a log does not go on where the one before ends."""
    after = json.loads(header).get("after")
    if None not in {before, after} and before != after:
        raise BadFrameError(0)
