"""The statements that a check stands on, sent by psycopg and the neo4j driver and by nothing else.

Truth's is the adapter's text. What goes to the graph is recorded while the adapter sends it, parameters and all, and
sent again: so it is the same to the letter, whatever the adapter's statements are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

from neo4j import AsyncSession, Record
from psycopg import sql

from benchmarks.sync.stage import Connection
from persistence.graph.neo4j import Neo4jGraph
from persistence.ports.checking import EVERYTHING
from persistence.projection import BUCKET_BITS
from persistence.vector.pgvector.queries import Queries
from sync.scan import ALL_BITS

SUMS = Queries("checking").get("bucket_sums", tenant=sql.SQL("true"))
_EVERYTHING = {"low": EVERYTHING.low, "high": EVERYTHING.high, "shift": BUCKET_BITS - ALL_BITS}

Statement = tuple[LiteralString, dict[str, Any] | None]


@contextmanager
def recorded(graph: Neo4jGraph) -> Iterator[list[Statement]]:
    """Record every statement that the adapter sends in the block."""
    connection, sent = graph._connection, list[Statement]()  # noqa: SLF001  # the one way by which all statements go
    run = connection.run

    async def recording(
        statement: LiteralString, parameters: dict[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Record]:
        sent.append((statement, parameters))
        return await run(statement, parameters, timeout=timeout)

    connection.run = recording  # type: ignore[method-assign]  # for the time of the block
    try:
        yield sent
    finally:
        del connection.run


async def sums_of_graph(graph: Neo4jGraph) -> list[Statement]:
    """Return what the adapter sends for the sums over everything."""
    with recorded(graph) as sent:
        await graph.bucket_sums(None, EVERYTHING, bits=ALL_BITS)
    return sent


async def send(session: AsyncSession, statements: Sequence[Statement]) -> None:
    """Send recorded statements, one after another, and take in their answers."""
    for statement, parameters in statements:
        result = await session.run(statement, parameters)
        _ = [record async for record in result]


async def sum_truth(db: Connection) -> None:
    """Sum up truth's digests and versions over everything, as the adapter asks for it."""
    cursor = await db.execute(SUMS, _EVERYTHING, prepare=False, binary=True)
    await cursor.fetchall()
