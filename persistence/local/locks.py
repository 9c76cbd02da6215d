"""File locks that the operating system lets go of when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio

from persistence.errors import ConfigurationError

POLL = 0.05


@contextmanager
def open_file(path: Path) -> Iterator[int]:
    """Open the file for reading and writing, made where it is not there; only the owner may read it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Say whether a living process holds the lock on the file; a look never gets in another look's way."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _take(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


async def take_lock(fd: int, *, timeout: float, busy: str) -> None:
    """Lock the open file for its holder alone; raise ConfigurationError(busy) after ``timeout`` seconds."""
    with anyio.move_on_after(timeout):
        while not _take(fd, fcntl.LOCK_EX):  # noqa: ASYNC110 - another process has it
            await anyio.sleep(POLL)
        return
    raise ConfigurationError(busy, hint="wait for it, then try again")


@asynccontextmanager
async def locked(path: Path, *, timeout: float) -> AsyncIterator[None]:
    """Hold the lock on the file inside the block: no other process or task is in such a block at the same time."""
    with open_file(path) as fd:
        await take_lock(fd, timeout=timeout, busy=f"Another process is at work in {path.parent}.")
        yield


def _take(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
