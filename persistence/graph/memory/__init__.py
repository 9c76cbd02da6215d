"""The graph in this process's memory: complete, and gone with the process, unless it is kept in files."""

from persistence.graph.memory.filed import FileGraph
from persistence.graph.memory.store import MemoryGraph

__all__ = ["FileGraph", "MemoryGraph"]
