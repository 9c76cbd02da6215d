"""The vector store on Qdrant: a server, or its engine embedded in this process."""

from persistence.vector.qdrant.making import make
from persistence.vector.qdrant.store import QdrantStore

__all__ = ["QdrantStore", "make"]
