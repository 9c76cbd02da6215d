"""What all local servers share: one folder, one process, one recorded port, and one way up and down."""

from __future__ import annotations

import os
import random
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import anyio

from persistence.errors import ConfigurationError
from persistence.local.daemon import Daemon
from persistence.local.locks import POLL, locked

LOG_LIMIT = 10_000_000
START_ATTEMPTS = 3
OTHER_PORTS = range(20_000, 30_000)  # below those that systems give to outgoing connections


@dataclass(frozen=True)
class ServerStatus:
    """What is known of a local server; ``url`` and ``pid`` are None where it does not run."""

    name: str
    running: bool
    pid: int | None
    url: str | None
    data: Path
    log: Path


class LocalServer(ABC):
    """A real server whose data, log and process file lie in ``folder``.

    It listens on the port of last time, at first on ``port`` (0: any), and on another where that is taken.
    """

    name: ClassVar[str]
    default_port: ClassVar[int]
    stop_signal: ClassVar[int] = signal.SIGTERM
    start_timeout: ClassVar[float] = 120.0
    stop_grace: ClassVar[float] = 30.0
    lock_timeout: ClassVar[float] = 600.0

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.first_port = self.default_port if port is None else port
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.daemon = Daemon(folder / "pid")

    async def up(self) -> str:
        """Return the URL, the server being installed and started where that is needed.

        Two calls at once, in whatever processes, start it once. Raises ConfigurationError where something is missing
        on this machine, or where the server does not start.
        """
        try:
            return await self._up()
        except OSError as error:
            raise ConfigurationError(
                f"The local {self.name} could not be started: {error.strerror or type(error).__name__}.",
                hint=f"check that {self.folder} is yours to write and that its disk is not full",
            ) from error

    async def _up(self) -> str:
        await anyio.Path(self.folder).mkdir(parents=True, exist_ok=True)
        async with locked(self.folder / "lock", timeout=self.lock_timeout):
            if self.daemon.is_alive():
                await self._wait_until_ready()
            else:
                await self.prepare()
                await self._start()
            await self.started()
            return self.url()

    async def down(self) -> bool:
        """Stop the server cleanly; False where it was not running."""
        if not self.folder.exists():
            return False
        async with locked(self.folder / "lock", timeout=self.lock_timeout):
            return await self.stop()

    async def stop(self) -> bool:
        """Stop the server cleanly, with SIGKILL where it does not listen; False where it was not running."""
        return await self.daemon.stop(how=self.stop_signal, grace=self.stop_grace)

    async def status(self) -> ServerStatus:
        """Say what runs, and where its data and its log are."""
        pid = self.daemon.pid()
        running = pid is not None and await self.is_ready()
        return ServerStatus(self.name, running, pid, self.url() if running else None, self.data, self.log)

    @property
    def port(self) -> int:
        """The port that the server listens on, as recorded when it was started."""
        text = (self.folder / "port").read_text("ascii") if (self.folder / "port").exists() else ""
        return int(text) if text.isdigit() else self.first_port

    @abstractmethod
    def url(self) -> str:
        """Return the URL under which diptych reaches the server."""

    @abstractmethod
    async def prepare(self) -> None:
        """Bring everything in place that the server needs to start, what was left half made included."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the command that is the server, in the foreground."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Say whether the process that runs now answers requests."""

    async def started(self) -> None:  # noqa: B027 - most servers have nothing to do
        """Do what has to be done once the server has answered."""

    def choose_port(self) -> int:
        """Return the port to listen on: the one of last time, the usual one, or any that is free."""
        return _free_port(self.port, self.first_port)

    def environment(self) -> Mapping[str, str] | None:
        """Return the server's environment; None: the present one."""
        return None

    def user(self) -> int | None:
        """Return the id of the user that the server runs as; None: the present one."""
        return None

    async def _start(self) -> None:
        for attempt in range(START_ATTEMPTS):
            _keep_small(self.log)
            write_whole(self.folder / "port", str(self.choose_port()))
            await self.daemon.start(self.command(), log=self.log, env=self.environment(), user=self.user())
            if await self._wait_until_ready(again=attempt + 1 < START_ATTEMPTS):
                return

    async def _wait_until_ready(self, *, again: bool = False) -> bool:
        """Wait for the server; False: it ended because its port was taken between our look and its own."""
        with anyio.move_on_after(self.start_timeout):
            while not await self.is_ready():
                if not self.daemon.is_alive():
                    if again and not _is_free(self.port):
                        return False
                    raise ConfigurationError(f"The local {self.name} ended while starting.", hint=f"see {self.log}")
                await anyio.sleep(POLL)
            return True
        await self.stop()
        raise ConfigurationError(
            f"The local {self.name} did not answer within {self.start_timeout:.0f} seconds.", hint=f"see {self.log}"
        )


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write the file so that whoever reads it sees all of the text or the former one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _free_port(*wanted: int) -> int:
    """Return the first of the wanted ports that is free, else another free one."""
    others = random.sample(OTHER_PORTS, 100)
    for port in (*wanted, *others):
        if port and _is_free(port):
            return port
    raise ConfigurationError("No port is free on this machine.")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _keep_small(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
