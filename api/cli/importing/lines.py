"""Lines of files and of standard input: numbered, bounded in length, and readable until someone says stop.

Everything here blocks, and so runs in a worker thread. A read that waits for a slow pipe looks for the stop signal
several times a second: nobody has to wait for the other end of the pipe.
"""

from __future__ import annotations

import gzip
import io
import os
import select
import shutil
import stat
import tempfile
import threading
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from typing_extensions import Buffer

from persistence.errors import PersistenceError

#: The longest line that is parsed, in bytes, its end left out.
MAX_LINE = 16 * 1024 * 1024
#: The longest line that is kept for whoever wants to look at it; a compressed file can hold one as long as any disk.
MAX_SPILL = 1024 * 1024 * 1024
STDIN = "-"
STDIN_FILENO = 0
BUFFER = 256 * 1024
STOP_LOOK_MS = 100
GZIP_MAGIC = b"\x1f\x8b"


class SourceError(PersistenceError):
    """The input cannot be read."""


class StoppedError(Exception):
    """The reader was told to stop."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands in the input, without its end; ``spill`` holds one longer than ``MAX_LINE``."""

    source: str
    number: int
    raw: bytes
    spill: IO[bytes] | None = None

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"{self.source}:{self.number}"

    def copy_to(self, target: IO[bytes]) -> None:
        """Write the line verbatim, with a line feed."""
        if self.spill is None:
            target.write(self.raw)
        else:
            self.spill.seek(0)
            shutil.copyfileobj(self.spill, target)
            self.spill.close()
        target.write(b"\n")


class Interruptible(io.RawIOBase):
    """A file descriptor to read from; ``consumed`` counts its bytes. Raises StoppedError once ``stop`` is set."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        """Leave the descriptor its owner's to close."""
        super().__init__()
        self.consumed = 0
        self._descriptor = descriptor
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Wait for bytes, and put them into ``buffer``; 0 at the end."""
        while not self._stop.is_set():
            if self._poll.poll(STOP_LOOK_MS):
                count = os.readv(self._descriptor, [buffer])
                self.consumed += count
                return count
        raise StoppedError


class LineSource:
    """The lines of one file, or of standard input for ``-``; gzip is recognised by its first bytes."""

    def __init__(self, path: str, stop: threading.Event) -> None:
        """Nothing is opened before the lines are asked for."""
        self.name = "stdin" if path == STDIN else path
        self.path = None if path == STDIN else Path(path)
        self._stop = stop
        self._raw: Interruptible | None = None
        self._ahead: Generator[Line, None, None] | None = None
        self._first: Line | None = None
        self.total = _size(self.path)

    @property
    def done(self) -> int:
        """The bytes consumed so far (compressed ones, where it is compressed)."""
        return self._raw.consumed if self._raw else 0

    def head(self) -> Line | None:
        """Return the first line, which ``lines`` yields all the same. Raises SourceError, StoppedError."""
        if self._ahead is None:
            self._ahead = self._read()
            self._first = next(self._ahead, None)
        return self._first

    def lines(self) -> Iterator[Line]:
        """Yield every line. Raises SourceError, StoppedError."""
        first, ahead = self.head(), self._ahead
        if first is None or ahead is None:
            return
        with closing(ahead):
            yield first
            yield from ahead

    def _read(self) -> Generator[Line, None, None]:
        with ExitStack() as stack:
            try:
                self._raw = Interruptible(self._descriptor(stack), self._stop)
                yield from split(_decompressed(self._raw), self.name)
            except (OSError, EOFError, zlib.error) as error:
                raise SourceError(f"{self.name} cannot be read: {_why(error)}.") from error

    def _descriptor(self, stack: ExitStack) -> int:
        if self.path is None:
            return STDIN_FILENO
        return stack.enter_context(self.path.open("rb", buffering=0)).fileno()


def split(stream: IO[bytes], name: str) -> Iterator[Line]:
    """Cut a stream into lines."""
    number = 0
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        if raw.endswith(b"\n"):
            yield Line(name, number, raw[:-1])
        elif len(raw) > MAX_LINE:
            yield Line(name, number, b"", _spill(raw, stream, f"{name}:{number}"))
        else:
            yield Line(name, number, raw)


def _spill(head: bytes, stream: IO[bytes], label: str) -> IO[bytes]:
    """Put a line that is too long for memory into a temporary file. Raises SourceError where it does not end."""
    spill = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever copies the line, or with its last reference
    spill.write(head)
    while part := stream.readline(BUFFER):
        spill.write(part.removesuffix(b"\n"))
        if part.endswith(b"\n"):
            break
        if spill.tell() > MAX_SPILL:
            spill.close()
            raise SourceError(f"{label} is longer than {MAX_SPILL:,} bytes.", hint="look whether it is JSON lines")
    return spill


def _decompressed(raw: Interruptible) -> IO[bytes]:
    buffered = io.BufferedReader(raw, BUFFER)
    if buffered.peek(2)[:2] == GZIP_MAGIC:
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered), BUFFER)
    return buffered


def _size(path: Path | None) -> int | None:
    """Return the bytes of a regular file; None where that is not known. Raises SourceError where nothing is there."""
    try:
        found = path.stat() if path else os.fstat(STDIN_FILENO)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path or 'stdin'} cannot be read: {_why(error)}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise SourceError(f"{path or 'stdin'} is a folder.", hint="name its files, or --git PATH")
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".") or type(error).__name__
