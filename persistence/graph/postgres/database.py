"""A database for the graph beside the truth's own, on the same server."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from persistence.graph.postgres.errors import FAULTS
from persistence.postgres.connecting import conninfo, direct
from persistence.postgres.queries import Queries

_EXISTS = Queries(__package__, "database").get("database_exists")


async def ensure_database(url: str, name: str, *, connect_timeout: float = 5.0) -> str:
    """Return the URL of the database of this name on the server of ``url``, made where it is missing."""
    async with direct(conninfo(url, connect_timeout, FAULTS), connect_timeout, FAULTS) as connection:
        found = await connection.execute(_EXISTS, {"name": name})
        if await found.fetchone() != (True,):
            # Another process may make it at the same moment.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()
