"""Sends statements to one database, each in a transaction of its own and one round trip."""

from __future__ import annotations

import asyncio
from typing import Any, LiteralString

import neo4j
from neo4j import AsyncDriver, AsyncGraphDatabase, NotificationMinimumSeverity, Query, Record
from neo4j.auth_management import AsyncClientCertificateProviders, ClientCertificate

from persistence.errors import GraphUnavailableError, GraphUntrustedError
from persistence.graph.neo4j.address import Address
from persistence.graph.neo4j.faults import translated
from persistence.tls import SYSTEM, Fault, Tls, TlsError, find, of_chain

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
                **_encryption(self._address.tls),
            )

    def _told(self, error: GraphUnavailableError) -> GraphUntrustedError | None:
        """Return what to say of an outage where a certificate was refused under it."""
        tls = self._address.tls
        return None if tls is None else _untrusted(of_chain(error, self._address.place, tls))

    async def check(self) -> None:
        """Refuse certificates that cannot be used; the driver would fail by whatever its library says."""
        try:
            if self._address.tls is not None:
                await asyncio.to_thread(self._address.tls.context)
        except TlsError as error:
            raise GraphUntrustedError(error.fault.message, hint=error.fault.hint) from error

    async def explain(self) -> GraphUntrustedError | None:
        """Say whether it is for its encryption that the server cannot be reached, by a look of our own."""
        if self._address.tls is None:
            return None
        return _untrusted(await find(self._address.place, self._address.tls, self._connect_timeout))

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
        try:
            with translated():
                async with self._driver.session(database=self.database) as session:
                    result = await session.run(Query(statement, timeout=timeout), parameters)
                    return [record async for record in result]
        except GraphUnavailableError as error:
            if (told := self._told(error)) is None:
                raise
            raise told from error

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> list[Any]:
        """Return what a statement collects into one record as ``rows``: a record for each costs forty times that."""
        (record,) = await self.run(statement, parameters)
        return list(record["rows"])


def _untrusted(fault: Fault | None) -> GraphUntrustedError | None:
    return None if fault is None else GraphUntrustedError(fault.message, hint=fault.hint)


def _encryption(tls: Tls | None) -> dict[str, Any]:
    """Return the driver's settings of encryption."""
    if tls is None:
        return {"encrypted": False}
    own = None if tls.cert is None else ClientCertificate(tls.cert, tls.key, tls.password or "")
    shown = {} if own is None else {"client_certificate": AsyncClientCertificateProviders.static(own)}
    return {"encrypted": True, "trusted_certificates": _trusted(tls), **shown}


def _trusted(tls: Tls) -> neo4j.TrustStore:
    if not tls.checked:
        return neo4j.TrustAll()
    return neo4j.TrustSystemCAs() if tls.rootcert in (None, SYSTEM) else neo4j.TrustCustomCAs(tls.rootcert)
