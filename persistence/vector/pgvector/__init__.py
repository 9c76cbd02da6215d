"""Truth on PostgreSQL with pgvector."""

from persistence.vector.pgvector.migrate import SchemaStatus, schema_status, upgrade
from persistence.vector.pgvector.store import PgVectorStore

__all__ = ["PgVectorStore", "SchemaStatus", "schema_status", "upgrade"]
