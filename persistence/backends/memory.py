"""Truth in memory: ``memory://``, and kept in files: ``file:///folder``."""

from __future__ import annotations

from persistence.backends.files import policy
from persistence.settings import PersistenceConfig
from persistence.urls import folder, scheme
from persistence.vector.memory import FORMAT, FileStorage, MemoryStore, Storage


async def make(url: str, config: PersistenceConfig) -> MemoryStore:
    """Make the adapter."""
    return MemoryStore(FileStorage(folder(url), policy(config)) if scheme(url) == "file" else Storage())


async def schema_status(url: str, config: PersistenceConfig) -> tuple[int, int]:  # noqa: ARG001  # a backend's way to be asked
    """Return the version of the files' format twice: opening older files upgrades them."""
    return FORMAT, FORMAT


upgrade = schema_status
