"""The graph on PostgreSQL: ``postgresql://…``, and ``embedded://``, a database of its own on the embedded server."""

from __future__ import annotations

from typing import NamedTuple

from persistence.backends.embedded import server_url
from persistence.graph.postgres import GraphSchema, PostgresGraph, ensure_database
from persistence.settings import PersistenceConfig
from persistence.urls import EMBEDDED, scheme

#: The graph's database on the embedded server, beside the truth's.
DATABASE = "diptych_graph"
#: Of the truth's schema, in the name of the graph's: PostgreSQL's names have 63 bytes.
LONGEST_NAME = 57


class Place(NamedTuple):
    """Where a graph's tables are."""

    url: str
    schema: str


async def make(url: str, config: PersistenceConfig) -> PostgresGraph:
    """Make the adapter, starting the embedded server where that is meant."""
    there = await place(url, config)
    return PostgresGraph(
        there.url, schema=there.schema, pool_size=config.pool_size, connect_timeout=config.connect_timeout
    )


async def schema(url: str, config: PersistenceConfig) -> GraphSchema:
    """Return what looks at the tables and changes them."""
    there = await place(url, config)
    return GraphSchema(there.url, schema=there.schema, connect_timeout=config.connect_timeout)


async def place(url: str, config: PersistenceConfig) -> Place:
    """Return where the graph's tables are."""
    schema = f"{config.schema_name[:LONGEST_NAME]}_graph"
    if scheme(url) != scheme(EMBEDDED):
        return Place(url, schema)
    server = await server_url(config)
    return Place(await ensure_database(server, DATABASE, connect_timeout=config.connect_timeout), schema)
