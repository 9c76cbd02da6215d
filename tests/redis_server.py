"""A real Redis of a test's own."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import planted
from tests.conftest import installed, missing

#: How a Redis may be no help: it is down, it does not answer, it refuses the password.
AWAY = ("stopped", "frozen", "refused")


class Redis:
    """A server of the test's own, with the password of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = planted.plant(secrets.token_hex(16), "the password of Redis")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "redis.conf"
        config.write_text(f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nsave ''\n")
        self.process = subprocess.Popen(["redis-server", config], stdout=subprocess.PIPE, cwd=self.folder)
        while b"Ready to accept" not in (line := self.process.stdout.readline()):
            assert line

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.communicate()

    def away(self, how: str) -> str:
        """Be no help in one of the ways of ``AWAY``; return the URL at which that is so."""
        if how == "stopped":
            self.stop()
        elif how == "frozen":
            self.process.send_signal(signal.SIGSTOP)
        else:
            return self.url.replace(self.password, "another-password")
        return self.url


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Give a real Redis; Debian's package is installed where it is not there."""
    if shutil.which("redis-server") is None and (why := installed("redis-server")):
        missing(why)
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()
