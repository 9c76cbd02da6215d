"""One connection: what is asked of it, and what is said when it cannot be had.

libpq gives no SQLSTATE for a connection that was refused. So, instead of reading its (translated) text, we look: is a
server there, did it ask for a password, does it let us into another database?
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping

from persistence.errors import ConfigurationError, PersistenceError
from persistence.postgres import encryption
from persistence.postgres.faults import Faults

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

#: Used where the URL does not say otherwise: a server that vanished is noticed, and a standby is passed by.
_DEFAULTS = {
    "application_name": "diptych",
    "target_session_attrs": "read-write",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def conninfo(url: str, connect_timeout: float, faults: Faults) -> str:
    """Return libpq's connection string for a URL. Raises ConfigurationError where it is none."""
    try:
        given: Mapping[str, Any] = conninfo_to_dict(url)
        return make_conninfo(**{**_DEFAULTS, "connect_timeout": max(2, math.ceil(connect_timeout)), **given})
    except psycopg.Error:  # not kept as the cause: it repeats the URL, password and all
        raise ConfigurationError(
            f"The {faults.store}'s URL is no PostgreSQL URL.",
            hint="postgresql://user:password@host:5432/database, special characters in it percent-encoded",
        ) from None


#: A password that is wrong and a limit that is reached look the same to whoever is refused.
_LIMITS = "look whether max_connections, or a limit of connections of the user or the database, is reached"


@asynccontextmanager
async def direct(info: str, timeout: float, faults: Faults, *, proven: bool = False) -> AsyncIterator[Connection]:
    """Connect without the pool, in autocommit; say precisely why where that fails.

    ``proven``: user, password and database were found right before, so that a refusal is for want of connections.
    """
    connection = await _connect(info, timeout, faults, proven=proven)
    try:
        with faults.translated():
            yield connection
    finally:
        await connection.close()


async def _connect(info: str, timeout: float, faults: Faults, *, proven: bool) -> Connection:
    try:
        async with asyncio.timeout(timeout):
            return await psycopg.AsyncConnection.connect(info, autocommit=True)
    except TimeoutError as error:
        raise faults.unavailable(f"PostgreSQL did not answer within {timeout:g} s.") from error
    except psycopg.Error as error:
        raise await _explain(info, timeout, error, faults, proven=proven) from error


async def _explain(
    info: str, timeout: float, error: psycopg.Error, faults: Faults, *, proven: bool
) -> PersistenceError:
    if fault := await encryption.find(info, timeout):
        return faults.untrusted(fault.message, hint=fault.hint)
    state = await anyio.to_thread.run_sync(PGconn.ping, info.encode(), abandon_on_cancel=True)
    if state == Ping.NO_RESPONSE:
        return faults.unavailable(f"No PostgreSQL server answers at {_where(info)}.")
    if state == Ping.REJECT:
        return faults.unavailable("The PostgreSQL server is starting or stopping.", hint="try again shortly")
    if state == Ping.NO_ATTEMPT:
        return faults.unusable(f"The {faults.store}'s URL has an option that PostgreSQL's client does not know.")
    if proven:
        return faults.unavailable(f"PostgreSQL at {_where(info)} refused one more connection.", hint=_LIMITS)
    if await _lets_in(make_conninfo(info, dbname="postgres"), timeout):
        return faults.unusable(
            f"The database {_database(info)!r} is not there, takes no writes, or may not be entered by this user.",
            hint=f"createdb {_database(info)}",
        )
    if error.pgconn is not None and (error.pgconn.used_password or error.pgconn.needs_password):
        return faults.unusable(
            f"PostgreSQL at {_where(info)} refused the user or the password, or has no connection left for this user.",
            hint=f"check user and password in the {faults.store}'s URL, and {_LIMITS}",
        )
    return faults.unavailable(
        f"PostgreSQL at {_where(info)} refused the connection.",
        hint=f"check the user's name and pg_hba.conf, and {_LIMITS}",
    )


async def _lets_in(info: str, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            connection = await psycopg.AsyncConnection.connect(info)
    except (psycopg.Error, TimeoutError):
        return False
    await connection.close()
    return True


def _where(info: str) -> str:
    parts = conninfo_to_dict(info)
    return f"{parts.get('host') or parts.get('hostaddr') or 'the default address'}:{parts.get('port') or 5432}"


def _database(info: str) -> str:
    parts = conninfo_to_dict(info)
    return str(parts.get("dbname") or parts.get("user") or "of the user's own name")
