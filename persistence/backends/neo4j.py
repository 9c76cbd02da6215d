"""The graph on Neo4j: ``neo4j://…`` and ``bolt://…``, with ``+s`` for TLS."""

from __future__ import annotations

from persistence.graph.neo4j import Neo4jGraph
from persistence.settings import PersistenceConfig


async def make(url: str, config: PersistenceConfig) -> Neo4jGraph:
    """Make the adapter."""
    return Neo4jGraph(url, pool_size=config.pool_size, connect_timeout=config.connect_timeout)
