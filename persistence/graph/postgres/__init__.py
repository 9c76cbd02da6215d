"""The graph on PostgreSQL: nodes and edges in tables of a schema of their own."""

from persistence.extras import needing

with needing("pgvector"):
    from persistence.graph.postgres.database import ensure_database
    from persistence.graph.postgres.session import GraphSchema
    from persistence.graph.postgres.store import PostgresGraph

__all__ = ["GraphSchema", "PostgresGraph", "ensure_database"]
