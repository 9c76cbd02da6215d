"""The vector store in this process's memory, and the same kept in files."""

from persistence.vector.memory.encoding import FORMAT
from persistence.vector.memory.filed import FileStorage
from persistence.vector.memory.storage import Storage
from persistence.vector.memory.store import MemoryStore

__all__ = ["FORMAT", "FileStorage", "MemoryStore", "Storage"]
