"""Truth on PostgreSQL with pgvector."""

from persistence.extras import needing

with needing("pgvector"):
    from persistence.vector.pgvector.migrate import PgVectorSchema
    from persistence.vector.pgvector.store import PgVectorStore

__all__ = ["PgVectorSchema", "PgVectorStore"]
