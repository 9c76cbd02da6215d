"""The errors of the truth on PostgreSQL, and what only this store's SQLSTATEs mean."""

from __future__ import annotations

import psycopg

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
from persistence.postgres.faults import Faults

#: Our functions' own errors (see migrations/0002_functions.sql).
_VERSION_CONFLICT = "DT001"
_NOT_FOUND = "DT002"


def _own(state: str, error: psycopg.Error) -> PersistenceError | None:
    if state == _VERSION_CONFLICT:
        expected, _, actual = (error.diag.message_detail or "").partition(" ")
        return VersionConflictError(int(expected), int(actual) if actual else None)
    if state == _NOT_FOUND:
        return MemoryNotFoundError()
    if state == "22000":  # pgvector's "expected n dimensions, not m"
        return EmbeddingMismatchError("An embedding has another dimension than the vector store's.")
    return None


FAULTS = Faults(
    store="vector store",
    refused=VectorStoreError,
    unavailable=VectorStoreUnavailableError,
    conflict=VectorStoreConflictError,
    missing=SchemaMissingError,
    unknown=OutcomeUnknownError,
    unusable=ConfigurationError,
    unfit=ConfigurationError,
    untrusted=ConfigurationError,
    own=_own,
)
translated = FAULTS.translated
