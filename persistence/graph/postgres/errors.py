"""The errors of the graph on PostgreSQL. All of them are the graph's own, so that truth never fails by them.

A lost acknowledgement is no error of its own here: a write to the graph is conditional on its version, and whoever
does not know whether it happened repeats it.
"""

from __future__ import annotations

import psycopg

from persistence.errors import (
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    GraphUntrustedError,
    GraphWriteExpiredError,
    PersistenceError,
)
from persistence.postgres.faults import Faults

#: Our function's own error (see migrations/0002_functions.sql): the time of a write had passed.
EXPIRED = "DT003"
#: A lock was not to be had before the time of the write had passed.
_LOCK_TIMEOUT = "55P03"
#: An edge was hung on an entity, or on a tombstone, that was about to be removed.
_STILL_REFERRED_TO = "23503"


def _own(state: str, error: psycopg.Error) -> PersistenceError | None:  # noqa: ARG001  # what every store is asked
    if state == EXPIRED:
        return GraphWriteExpiredError()
    if state == _LOCK_TIMEOUT:
        return GraphWriteExpiredError(
            "PostgreSQL undid a graph write that waited for others until its time had passed."
        )
    if state == _STILL_REFERRED_TO:
        return GraphConflictError("PostgreSQL undid the graph operation because of a concurrent one.")
    return None


FAULTS = Faults(
    store="graph store",
    refused=GraphStoreError,
    unavailable=GraphUnavailableError,
    conflict=GraphConflictError,
    missing=GraphStoreError,
    unknown=GraphUnavailableError,
    unusable=GraphUnavailableError,
    unfit=GraphStoreError,
    untrusted=GraphUntrustedError,
    own=_own,
)
