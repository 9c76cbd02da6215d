"""The graph in this process's memory: complete, and gone with the process."""

from persistence.graph.memory.store import MemoryGraph

__all__ = ["MemoryGraph"]
