"""Truth on PostgreSQL with pgvector: ``postgresql://…``, and ``embedded://``."""

from __future__ import annotations

from persistence.backends.embedded import server_url
from persistence.settings import PersistenceConfig
from persistence.urls import EMBEDDED, scheme
from persistence.vector import pgvector


async def make(url: str, config: PersistenceConfig) -> pgvector.PgVectorStore:
    """Make the adapter, starting the embedded server where that is meant."""
    return pgvector.PgVectorStore(
        await _server(url, config),
        schema=config.schema_name,
        auto_upgrade=config.auto_upgrade,
        pool_size=config.pool_size,
        connect_timeout=config.connect_timeout,
        index_memory_mb=config.index_memory_mb,
    )


async def schema(url: str, config: PersistenceConfig) -> pgvector.PgVectorSchema:
    """Return what looks at the tables and changes them."""
    server = await _server(url, config)
    return pgvector.PgVectorSchema(server, schema=config.schema_name, connect_timeout=config.connect_timeout)


async def _server(url: str, config: PersistenceConfig) -> str:
    return await server_url(config) if scheme(url) == scheme(EMBEDDED) else url
