"""The log that is appended to: a record is there whole or not at all."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from persistence.files.frames import pack


class TornError(Exception):
    """A record could not be written, and what is in the file of it could not be taken back."""


class Log:
    """An open log. ``size`` and ``number``: where its last record ends, and which one that is."""

    def __init__(self, path: Path, size: int, number: int) -> None:
        self.size = size
        self.number = number
        self._unsynced = False
        self._file: FileIO = path.open("ab", buffering=0)

    @classmethod
    def begin(cls, path: Path, header: bytes) -> Log:
        """Make a log; it begins with ``header``. Raises OSError: where it could not be written, it is not there."""
        path.open("xb").close()
        log = cls(path, 0, -1)
        try:
            log.append(header)
            log.sync()
        except BaseException:
            log.close()
            path.unlink(missing_ok=True)
            raise
        return log

    def append(self, payload: bytes, *, sync: bool = False) -> None:
        """Write a record. Raises OSError where it could not be written, and then nothing of it is left; TornError."""
        frame = memoryview(pack(self.number + 1, payload))
        length = len(frame)
        try:
            while frame:
                frame = frame[self._file.write(frame) :]
            self._unsynced = True
            if sync:
                self.sync()
        except OSError as error:
            self._take_back(error)
            raise
        self.size += length
        self.number += 1

    def _take_back(self, error: OSError) -> None:
        """Cut off what was written of a record, durably: it must not come back after it was refused."""
        try:
            self._file.truncate(self.size)
            os.fsync(self._file.fileno())
        except OSError:
            raise TornError from error

    def sync(self) -> None:
        """Wait until the disk has everything."""
        if self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()
