"""A process in the background that is known by one file and outlives whoever started it.

The file holds the process's id and is locked by the process itself, which inherits the lock with the open file. So
there is no stale pid file: when the process dies, however it dies, the lock is gone, and an id that the operating
system has given to another process since is never believed. The id is written by the process before it becomes the
server: a parent that crashes in between leaves nothing unknown behind.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import TypedDict

import anyio

from persistence.local.locks import POLL, is_locked, open_file, take_lock

LOCK_TIMEOUT = 2.0
# Writes its own id to the file, then becomes the server, whose words go to the log.
_BECOME = 'echo $$; exec "$@" >&2'
# Leaves the server to the init process, so that nobody here has to wait for it.
_DETACH = '/bin/sh -c "$0" sh "$@" &'


@dataclass(frozen=True)
class Daemon:
    """The background process behind ``file``."""

    file: Path

    def is_alive(self) -> bool:
        """Say whether the process, or anything that it has started and left behind, still runs."""
        return is_locked(self.file)

    def pid(self) -> int | None:
        """Return the process's id, None where it does not run (or has not said its id yet)."""
        if not self.is_alive():
            return None
        text = self.last_pid()
        return int(text) if text.isdigit() else None

    def last_pid(self) -> str:
        """Return the id of the process that ran last, living or dead, as written; empty where there was none."""
        return self.file.read_text("ascii").strip() if self.file.exists() else ""

    async def start(
        self, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, user: int | None = None
    ) -> None:
        """Start the command, in a session of its own, as ``user`` where that is given; it must not be running."""
        with open_file(self.file) as fd, log.open("ab") as log_file:
            await take_lock(fd, timeout=LOCK_TIMEOUT, busy=f"The server of {self.file.parent} is running already.")
            os.ftruncate(fd, 0)
            await anyio.run_process(
                ["/bin/sh", "-c", _DETACH, _BECOME, *map(str, command)],
                stdin=DEVNULL,
                stdout=fd,
                stderr=log_file,
                pass_fds=[fd],
                start_new_session=True,
                cwd="/",
                umask=0o077,
                env=env,
                **as_user(user),
            )

    async def stop(self, *, how: int = signal.SIGTERM, grace: float) -> bool:
        """End the process with the signal ``how``, after ``grace`` seconds with SIGKILL; False: it did not run."""
        if not self.signal(how):
            return False
        self.signal(signal.SIGCONT)
        with anyio.move_on_after(grace):
            await self.wait_for_end()
            return True
        await self.kill()
        return True

    async def kill(self) -> bool:
        """End the process with SIGKILL and wait until it, and what it started, is gone; False: it did not run."""
        if not self.signal(signal.SIGKILL):
            return False
        await self.wait_for_end()
        return True

    def signal(self, number: int) -> bool:
        """Send the signal; False where there is no process to send it to."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    async def wait_for_end(self) -> None:
        """Wait until the process is gone."""
        while self.is_alive():  # noqa: ASYNC110 - it is not our child, nobody tells us
            await anyio.sleep(POLL)


class Account(TypedDict, total=False):
    """The arguments that make a subprocess run as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(user: int | None) -> Account:
    """Return the account of the user, with no rights of the present one's groups; None: the present one."""
    return {} if user is None else {"user": user, "group": user_group(user), "extra_groups": []}


def user_group(user: int) -> int:
    """Return the main group of the user."""
    import pwd  # noqa: PLC0415 - there is none on Windows, where this module can still be imported

    return pwd.getpwuid(user).pw_gid
