"""The one edge where psycopg's errors become ours.

What a lost connection means depends on when it was lost: before a write was sent nothing happened, while its
acknowledgement was awaited anything may have. The SQLSTATE decides everything else; no text is looked at or repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from persistence.errors import (
    ConfigurationError,
    EmbeddingMismatchError,
    MemoryNotFoundError,
    OutcomeUnknownError,
    PersistenceError,
    SchemaMissingError,
    VectorStoreConflictError,
    VectorStoreError,
    VectorStoreUnavailableError,
    VersionConflictError,
)

_CONFLICTS = frozenset({"40001", "40P01", "40002", "55P03", "23505"})
_UNKNOWN = frozenset({"08007", "40003"})
_MISSING = frozenset({"3F000", "42P01", "42883", "42703", "42704"})
#: Lost connections and servers that go down or come up.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
#: Our functions' own errors (see migrations/0002_functions.sql).
_VERSION_CONFLICT = "DT001"
_NOT_FOUND = "DT002"


@contextmanager
def translated(*, write: bool = False) -> Iterator[None]:
    """Raise our errors in place of psycopg's. ``write``: what is sent in here commits before it is answered."""
    try:
        yield
    except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise translate(error, write=write) from error


def translate(error: psycopg.Error, *, write: bool) -> PersistenceError:
    """Return our error for psycopg's."""
    if isinstance(error, PoolTimeout | TooManyRequests):
        return VectorStoreUnavailableError("No connection to PostgreSQL was to be had in time.")
    if isinstance(error, PoolClosed):
        return VectorStoreUnavailableError("The vector store is not open.", hint="open it first")
    state = error.sqlstate
    if state is None:
        return _without_state(error, write=write)
    if state in _UNKNOWN or (write and _is_lost(state)):
        return _unknown()
    return _by_state(state, error)


def _without_state(error: psycopg.Error, *, write: bool) -> PersistenceError:
    """No SQLSTATE: it is not the server that says so, but the driver."""
    if isinstance(error, psycopg.OperationalError):
        return _unknown() if write else VectorStoreUnavailableError("The connection to PostgreSQL was lost.")
    if isinstance(error, psycopg.InterfaceError):
        return VectorStoreUnavailableError("The connection to PostgreSQL cannot be used any more.")
    return VectorStoreError("A value could not be sent to PostgreSQL, or not be read from it.")


def _unknown() -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "The connection to PostgreSQL was lost while a write was being committed: it may or may not have happened."
    )


def _is_lost(state: str) -> bool:
    return state in _LOST or state.startswith("08")


def _by_state(state: str, error: psycopg.Error) -> PersistenceError:
    if state == _VERSION_CONFLICT:
        expected, _, actual = (error.diag.message_detail or "").partition(" ")
        return VersionConflictError(int(expected), int(actual) if actual else None)
    if state == _NOT_FOUND:
        return MemoryNotFoundError()
    if state in _CONFLICTS:
        return VectorStoreConflictError("PostgreSQL undid the operation because of a concurrent one.")
    if state in _MISSING:
        return SchemaMissingError("The schema of diptych, or a part of it, is missing in this database.")
    if state == "42501":
        return ConfigurationError(
            "The database user lacks a privilege that diptych needs.",
            hint="let the schema's owner run `diptych schema upgrade`, and grant this user the use of its tables",
        )
    return _trouble(state)


def _trouble(state: str) -> PersistenceError:
    if _is_lost(state):
        return VectorStoreUnavailableError("The connection to PostgreSQL was lost.")
    if state == "57014":
        return VectorStoreUnavailableError("PostgreSQL did not answer in time; the statement was undone.")
    if state == "25006":
        return VectorStoreUnavailableError("This PostgreSQL server takes no writes.", hint="connect to the primary")
    if state.startswith("53"):
        return VectorStoreUnavailableError(
            f"PostgreSQL has run out of a resource (SQLSTATE {state}).",
            hint="look at its disk, its memory and its connections",
        )
    if state == "22000":  # pgvector's "expected n dimensions, not m"
        return EmbeddingMismatchError("An embedding has another dimension than the vector store's.")
    return VectorStoreError(f"PostgreSQL refused the operation (SQLSTATE {state}).")
