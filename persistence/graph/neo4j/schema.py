"""What the graph needs before the first write: constraints, indexes, and statements that are planned."""

from __future__ import annotations

import asyncio

from neo4j import Record

from persistence.errors import GraphConflictError, GraphStoreError
from persistence.graph.neo4j import statements
from persistence.graph.neo4j.batching import batch
from persistence.graph.neo4j.connection import Connection

#: Of what lies in the graph, and how.
VERSION = 1
#: Processes that open a new database at once undo each other's constraints until one of them has made all.
ATTEMPTS = 20
#: Seconds before the second attempt; each one after waits so much longer.
PAUSE = 0.02


async def prepare(connection: Connection) -> None:
    """Name the database, make what is missing, and have the large statement planned (up to 3 s in a cold server)."""
    record = (await connection.run(statements.STORE))[0]
    connection.database = record["database"]
    _refuse_newer(record)
    await _constrain(connection)
    await connection.run(statements.APPLY, {"batch": batch([]).parameter, "not_after": 2**62})


def _refuse_newer(record: Record) -> None:
    """Refuse a graph whose nodes and edges this code would misread; one that was only added to is welcome.

    What a newer diptych adds to the graph raises ``schema_version``, what it changes there ``schema_needs`` as well.
    Raises GraphStoreError.
    """
    if (record["schema_needs"] or VERSION) > VERSION:
        raise GraphStoreError(
            f"The graph is at version {record['schema_version']}; this diptych knows {VERSION}, and is not fit for it.",
            hint="upgrade diptych on this machine",
        )


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
