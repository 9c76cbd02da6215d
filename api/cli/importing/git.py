"""A repository's history, streamed from ``git log``: one commit after another, whatever their names and messages hold.

Everything here blocks, and so runs in a worker thread.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, cast

from api.cli.importing.lines import BUFFER, Interruptible, SourceError
from persistence.records import MAX_ENTITIES

#: Bytes kept of one field (a message, a file's name).
MAX_FIELD = 4 * 1024 * 1024
#: Files kept of one commit: what a memory can hold beside its other entities.
MAX_FILES = MAX_ENTITIES - 100
COUNT_TIMEOUT = 5.0
FIELDS = ("%H", "%ct", "%aN", "%aE", "%P", "%B")
#: Nothing of a repository's own configuration may run a program or change the format.
SAFE = ("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "--no-pager")


@dataclass(slots=True)
class Commit:
    """One commit. ``files`` are the first ``MAX_FILES`` of the ``touched`` ones; ``time`` is in seconds since 1970."""

    hash: str
    time: int
    author: str
    email: str
    parents: tuple[str, ...]
    message: str
    files: list[str] = field(default_factory=list)
    touched: int = 0

    def touch(self, name: bytes) -> None:
        """Add a file that the commit touched."""
        if not self.touched:
            name = name.removeprefix(b"\n")  # git puts one before the first name
        self.touched += 1
        if len(self.files) < MAX_FILES:
            self.files.append(_text(name))


class GitSource:
    """The commits of the history that ``HEAD`` has, newest first."""

    def __init__(
        self, path: Path, stop: threading.Event, *, limit: int | None = None, since: str | None = None
    ) -> None:
        """``limit``: the newest so many; ``since``: a date as git understands it."""
        self.name = str(path)
        self.done = 0
        self.total: int | None = None
        self._path = path
        self._stop = stop
        self._limits = [f"--max-count={limit}"] if limit is not None else []
        self._limits += [f"--since={since}"] if since else []

    def commits(self) -> Iterator[Commit]:
        """Yield every commit; none where there is none yet. Raises SourceError, StoppedError."""
        if run(self._path, "rev-parse", "--verify", "--quiet", "HEAD") is None:
            return
        token = secrets.token_hex(16).encode()
        form = "%x00".join(["", token.decode(), *FIELDS])
        options = ["-z", "--name-only", "--no-renames", "--no-color", "--no-ext-diff", "--encoding=UTF-8"]
        with self._stream("log", *options, f"--format=tformat:{form}", *self._limits) as stream:
            for self.done, commit in enumerate(parse_log(fields(stream), token), 1):
                yield commit

    def count(self) -> None:
        """Find out how many there are, where that is quick; it is needed for the remaining time alone."""
        counted = run(self._path, "rev-list", "--count", *self._limits, "HEAD")
        self.total = int(counted) if counted else None

    @contextmanager
    def _stream(self, *arguments: str) -> Iterator[io.BufferedReader]:
        with tempfile.TemporaryFile() as errors, _started(self._path, arguments, errors) as process:
            try:
                yield io.BufferedReader(Interruptible(cast("IO[bytes]", process.stdout).fileno(), self._stop), BUFFER)
                failed = process.wait() != 0
            finally:
                process.kill()
            if failed:
                raise SourceError(f"git could not read the history of {self.name}: {_last_line(errors)}.")


def repository(path: Path) -> Path | None:
    """Return the top folder of the repository that ``path`` is in (of a bare one its own), None where it is in none."""
    if not path.is_dir():
        return None
    if top := run(path, "rev-parse", "--show-toplevel"):
        return Path(top)
    folder = run(path, "rev-parse", "--absolute-git-dir")
    return Path(folder) if folder else None


def commits_up_to(path: Path, limit: int) -> int:
    """Count the commits of the repository that ``path`` is in, up to ``limit``; 0 where it is in none."""
    if not path.is_dir() or not shutil.which("git"):
        return 0
    return int(run(path, "rev-list", "--count", f"--max-count={limit}", "HEAD") or 0)


def run(path: Path, *arguments: str) -> str | None:
    """Return what a quick git command prints, None where it failed or took too long."""
    command = [_git(), *SAFE, "-C", str(path), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command, capture_output=True, timeout=COUNT_TIMEOUT, check=True, env=_environment()
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return _text(done.stdout).strip() or None


def fields(stream: io.BufferedReader) -> Iterator[bytes]:
    """Cut a stream at its NUL characters, keeping ``MAX_FIELD`` bytes of each field."""
    tail = b""
    while chunk := stream.read1(BUFFER):
        first, *others = chunk.split(b"\0")
        tail = (tail + first)[:MAX_FIELD]
        if others:
            yield tail
            yield from others[:-1]
            tail = others[-1]
    if tail:
        yield tail


def parse_log(parts: Iterable[bytes], token: bytes) -> Iterator[Commit]:
    """Make commits of the fields of a log; each begins with the token, which no file's name can be: it is random."""
    parts = iter(parts)
    commit: Commit | None = None
    for part in parts:
        if part == token:
            if commit:
                yield commit
            commit = _begin(tuple(islice(parts, len(FIELDS))))
        elif commit and part:
            commit.touch(part)
    if commit:
        yield commit


def _begin(values: tuple[bytes, ...]) -> Commit | None:
    """Return None for the torso that a git which died left behind; its exit code tells of it."""
    if len(values) < len(FIELDS):
        return None
    name, time, author, email, parents, message = (_text(value) for value in values)
    return Commit(name, int(time or 0), author, email, tuple(parents.split()), message)


@contextmanager
def _started(path: Path, arguments: tuple[str, ...], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    command = [_git(), *SAFE, "-C", str(path), *arguments]
    with subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=_environment(), process_group=0
    ) as process:
        yield process


def _environment() -> dict[str, str]:
    return {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}


def _git() -> str:
    found = shutil.which("git")
    if not found:
        raise SourceError("The git command is not on the PATH.", hint="install git, or import JSON lines")
    return found


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = _text(errors.read(BUFFER)).strip().splitlines()
    return lines[-1].removeprefix("fatal: ").rstrip(".") if lines else "it gave no reason"


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
