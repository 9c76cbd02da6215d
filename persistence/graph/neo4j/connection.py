"""Sends statements to one database, each in a transaction of its own and one round trip."""

from __future__ import annotations

from typing import Any, LiteralString

from neo4j import AsyncDriver, AsyncGraphDatabase, NotificationMinimumSeverity, Query, Record

from persistence.errors import GraphUnavailableError
from persistence.graph.neo4j.address import Address
from persistence.graph.neo4j.faults import translated

#: Seconds of idleness after which a pooled connection is tried before it is used.
LIVENESS = 30.0
USER_AGENT = "diptych"


class Connection:
    """A pool of connections, made by ``open``; the driver's own retries are never used.

    ``connect_timeout`` seconds is what making one connection may take, and what waiting for a free one may.
    """

    def __init__(self, address: Address, *, pool_size: int, connect_timeout: float) -> None:
        self._address = address
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._driver: AsyncDriver | None = None
        self.database = address.database

    def open(self) -> None:
        """Make the pool, without I/O, if it is not there."""
        if self._driver is not None:
            return
        with translated():
            self._driver = AsyncGraphDatabase.driver(
                self._address.uri,
                auth=self._address.auth,
                max_connection_pool_size=self._pool_size,
                connection_timeout=self._connect_timeout,
                connection_acquisition_timeout=self._connect_timeout * 2,
                max_transaction_retry_time=0,
                liveness_check_timeout=LIVENESS,
                telemetry_disabled=True,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
                user_agent=USER_AGENT,
            )

    async def close(self) -> None:
        """Close every connection. Safe to call twice, and without ``open``."""
        driver, self._driver = self._driver, None
        if driver is not None:
            with translated():
                await driver.close()

    async def run(
        self, statement: LiteralString, parameters: dict[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Record]:
        """Return all records; ``timeout`` in seconds is the server's, for the transaction. Raises GraphStoreError."""
        if self._driver is None:
            raise GraphUnavailableError("The graph was used before it was opened, or after it was closed.")
        with translated():
            async with self._driver.session(database=self.database) as session:
                result = await session.run(Query(statement, timeout=timeout), parameters)
                return [record async for record in result]

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> list[Any]:
        """Return what a statement collects into one record as ``rows``: a record for each costs forty times that."""
        (record,) = await self.run(statement, parameters)
        return list(record["rows"])
