"""The graph on Neo4j 5.26 or newer, by Bolt; Community edition and no plug-in suffice."""

from persistence.extras import needing

with needing("neo4j"):
    from persistence.graph.neo4j.store import Neo4jGraph

__all__ = ["Neo4jGraph"]
