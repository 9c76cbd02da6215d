"""The folder of the embedded engine: its lock, and the one edge where the engine's errors become ours."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from persistence.errors import ConfigurationError, VectorStoreError, VectorStoreUnavailableError

_LOCK = ".lock"
#: What the engine writes of each of its collections.
_CONFIG = "edge_config.json"
#: What a file system puts into its own root.
_SYSTEMS = "lost+found"
_UNFINISHED = ".unfinished"


def can_open(folder: Path, collection: str) -> bool:
    """Say whether the folder holds a collection; nothing is made."""
    with _usable(folder):
        return (folder / collection / _CONFIG).is_file()


def locked(folder: Path) -> int:
    """Lock the folder for this process, and return the lock, which its end lets go of however it ends."""
    with _usable(folder):
        _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise VectorStoreUnavailableError(
            f"Another process has the vector store in {folder} open.",
            hint="close it there, or use a Qdrant server, which many processes can share",
        ) from error
    return lock


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder in which there is something, but no collection: it is somebody else's."""
    there = [path for path in folder.iterdir() if path.name not in (_LOCK, _SYSTEMS)] if folder.exists() else []
    if any(not _is_ours(path) for path in there):
        raise ConfigurationError(
            f"The folder {folder} holds something that is not the vector store's.", hint="name a folder of its own"
        )


def _is_ours(path: Path) -> bool:
    return path.name.endswith(_UNFINISHED) or (path / _CONFIG).is_file()


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be used by the vector store.", hint="check the path and its permissions"
        ) from error


def config_of(folder: Path, collection: str) -> dict[str, Any] | None:
    """Return what the engine wrote of a collection when it was made; None where it was not. Raises VectorStoreError."""
    try:
        config = json.loads((folder / collection / _CONFIG).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(collection) from error
    if not isinstance(config, dict):
        raise _unreadable(collection)
    return config


def _unreadable(collection: str) -> VectorStoreError:
    return VectorStoreError(
        f"What the folder says of the collection {collection!r} cannot be read.", hint="restore the folder"
    )


def create(folder: Path, collection: str, config: edge.EdgeConfig) -> None:
    """Make a collection, whole or not at all: whoever dies at it leaves what the next one clears away."""
    unfinished = folder / f"{collection}{_UNFINISHED}"
    shutil.rmtree(unfinished, ignore_errors=True)
    edge.EdgeShard.create(str(unfinished), config).close()
    unfinished.rename(folder / collection)


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
