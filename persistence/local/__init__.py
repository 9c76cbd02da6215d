"""Real servers on this machine, without Docker: Postgres with pgvector, Neo4j and, where it can be found, Qdrant."""

from __future__ import annotations

from pathlib import Path

from persistence.errors import ConfigurationError
from persistence.local.neo4j import Neo4jServer
from persistence.local.postgres import PostgresServer
from persistence.local.qdrant import QdrantServer
from persistence.local.server import LocalServer, ServerStatus

__all__ = [
    "LocalServer",
    "Neo4jServer",
    "PostgresServer",
    "QdrantServer",
    "ServerStatus",
    "ensure_neo4j",
    "ensure_postgres",
    "ensure_qdrant",
    "local_server",
    "local_servers",
]

_KINDS: dict[str, type[LocalServer]] = {
    "postgres": PostgresServer,
    "neo4j": Neo4jServer,
    "qdrant": QdrantServer,
}


def local_server(name: str, home: Path) -> LocalServer:
    """Return the server of this name whose folder lies in ``home``; raise ConfigurationError for an unknown name."""
    if name not in _KINDS:
        raise ConfigurationError(f"There is no local server of that name; there are {', '.join(_KINDS)}.")
    return _KINDS[name](home.expanduser().absolute() / name)


def local_servers(home: Path) -> list[LocalServer]:
    """Return all servers that can live in ``home``, running or not."""
    return [local_server(name, home) for name in _KINDS]


async def ensure_postgres(home: Path) -> str:
    """Return the URL of the Postgres in ``home``, started where it was not running; it outlives this process."""
    return await local_server("postgres", home).up()


async def ensure_neo4j(home: Path) -> str:
    """Return the URL of the Neo4j in ``home``, installed and started where it was not; it outlives this process."""
    return await local_server("neo4j", home).up()


async def ensure_qdrant(home: Path) -> str:
    """Return the URL of the Qdrant in ``home``, started where it was not running; it outlives this process."""
    return await local_server("qdrant", home).up()
