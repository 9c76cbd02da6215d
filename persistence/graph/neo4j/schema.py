"""What the graph needs before the first write: constraints, indexes, and statements that are planned."""

from __future__ import annotations

import asyncio

from persistence.errors import GraphConflictError
from persistence.graph.neo4j import statements
from persistence.graph.neo4j.batching import batch
from persistence.graph.neo4j.connection import Connection

#: Processes that open a new database at once undo each other's constraints until one of them has made all.
ATTEMPTS = 20
#: Seconds before the second attempt; each one after waits so much longer.
PAUSE = 0.02


async def prepare(connection: Connection) -> None:
    """Name the database, make what is missing, and have the large statement planned (up to 3 s in a cold server)."""
    record = (await connection.run(statements.STORE))[0]
    connection.database = record["database"]
    await _constrain(connection)
    await connection.run(statements.APPLY, {"batch": batch([]).parameter, "not_after": 2**62})


async def _constrain(connection: Connection) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _make_missing(connection)
        except GraphConflictError:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(PAUSE * attempt)
    return None


async def _make_missing(connection: Connection) -> None:
    present = set((await connection.run(statements.PRESENT_INDEXES))[0]["names"])
    missing = [statement for name, statement in statements.CONSTRAINTS.items() if name not in present]
    for statement in missing:
        await connection.run(statement)
    if missing:
        await connection.run(statements.AWAIT_INDEXES)
