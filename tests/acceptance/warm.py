"""Calls of the command without the time that importing it takes: each is still a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SCRIPT = Path(__file__).with_name("warm_process.py")


class Warm:
    """The process of ``warm_process.py``, and the socket to it."""

    def __init__(self, calls: socket.socket) -> None:
        self.calls = calls
        self.answers = calls.makefile("r")

    def run(
        self, args: Sequence[str], stdin: bytes | None, environment: Mapping[str, str], folder: Path, seconds: float
    ) -> tuple[int, bytes, bytes]:
        """Run the command, and return its exit code, stdout and stderr; kill it where it takes longer."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with _fed(stdin) as given:
                request = {"args": args, "environment": dict(environment), "folder": str(folder)}
                line = json.dumps(request).encode() + b"\n"
                socket.send_fds(self.calls, [line], [given.fileno(), out.fileno(), err.fileno()])
                code = self._code(seconds)
            return code, _all(out), _all(err)

    def _code(self, seconds: float) -> int:
        pid = int(self.answers.readline())
        killing = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
        killing.start()
        try:
            return int(self.answers.readline())
        finally:
            killing.cancel()


@contextmanager
def warmed() -> Iterator[Warm]:
    """Start the process, with as little around it as the command gets, and end it with the block."""
    ours, its = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
    with (
        its,
        subprocess.Popen(
            [sys.executable, "-P", SCRIPT, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env=environment,
        ),
        ours,
    ):
        its.close()
        warm = Warm(ours)
        with warm.answers:
            yield warm


@contextmanager
def _fed(text: bytes | None) -> Iterator[IO[bytes]]:
    """Give a file to read ``text`` from: a pipe, as a shell would; nothing at all where it is None."""
    if text is None:
        with Path(os.devnull).open("rb") as nothing:
            yield nothing
        return
    reading, writing = os.pipe()
    feeding = threading.Thread(target=_feed, args=(writing, text))
    feeding.start()
    with os.fdopen(reading, "rb") as given:
        yield given
    feeding.join()


def _feed(writing: int, text: bytes) -> None:
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(text)
    except BrokenPipeError:
        return  # the command did not read to the end, as it may


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
