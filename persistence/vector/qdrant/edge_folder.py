"""The folder of the embedded engine: its lock, and the one edge where the engine's errors become ours."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persistence.errors import ConfigurationError, VectorStoreError


def locked(folder: Path) -> int:
    """Lock the folder for this process, and return the lock, which its end lets go of however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be used by the vector store.", hint="check the path and its permissions"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigurationError(
            f"Another process has the vector store in {folder} open.",
            hint="close it there, or use a Qdrant server, which many processes can share",
        ) from error
    return lock


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors in place of the engine's, which are plain exceptions."""
    try:
        yield
    except Exception as error:
        if isinstance(error, VectorStoreError | ConfigurationError):
            raise
        if isinstance(error, TypeError | ValueError):
            raise VectorStoreError("A value could not be given to the embedded Qdrant.") from error
        raise VectorStoreError(
            "The embedded Qdrant failed.", hint="look at the space that is left on its disk, and at the cause"
        ) from error
