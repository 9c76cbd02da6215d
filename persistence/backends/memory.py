"""Truth in memory: ``memory://``, and kept in files: ``file:///folder``."""

from __future__ import annotations

from persistence.backends.files import policy
from persistence.ports.schema import SchemaState, Whole
from persistence.settings import PersistenceConfig
from persistence.urls import folder, scheme
from persistence.vector.memory import FORMAT, FileStorage, MemoryStore, Storage


async def make(url: str, config: PersistenceConfig) -> MemoryStore:
    """Make the adapter."""
    return MemoryStore(FileStorage(folder(url), policy(config)) if scheme(url) == "file" else Storage())


async def schema(url: str, config: PersistenceConfig) -> Whole:  # noqa: ARG001  # a backend's way to be asked
    """Return what looks at the format of the files: opening older files upgrades them."""
    return Whole(_format)


async def _format() -> SchemaState:
    return SchemaState(FORMAT, FORMAT)
