"""A drift that is planted behind diptych's back, in a graph that lies on PostgreSQL."""

from __future__ import annotations

from psycopg import sql

from persistence.backends.postgres_graph import Place
from persistence.graph.postgres.errors import FAULTS
from persistence.postgres.connecting import conninfo, direct
from persistence.postgres.queries import Queries

_PLANT = Queries(__package__, "drift")


async def plant(place: Place, user_id: str, connect_timeout: float) -> tuple[str, int] | None:
    """Take a memory's edges away by SQL; return its id and how many there were, None where no memory has any."""
    query = _PLANT.get("plant", schema=sql.Identifier(place.schema))
    async with direct(conninfo(place.url, connect_timeout, FAULTS), connect_timeout, FAULTS) as connection:
        row = await (await connection.execute(query, {"user_id": user_id})).fetchone()
    return (str(row[0]), int(row[1])) if row else None
