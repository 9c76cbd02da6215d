"""The graph in memory: ``memory://``, and kept in files: ``file:///folder``."""

from __future__ import annotations

from persistence.backends.files import policy
from persistence.graph.memory import FileGraph, MemoryGraph
from persistence.settings import PersistenceConfig
from persistence.urls import folder, scheme


async def make(url: str, config: PersistenceConfig) -> MemoryGraph:
    """Make the adapter."""
    return FileGraph(folder(url), policy(config)) if scheme(url) == "file" else MemoryGraph()
