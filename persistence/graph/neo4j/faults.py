"""The one edge where the Neo4j driver's errors become ours; by class and status code, never by text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neo4j import exceptions as driver

from persistence.errors import (
    ConfigurationError,
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    GraphWriteExpiredError,
    PersistenceError,
)

#: The server undid the transaction because of another one. EntityNotFound: a shared entity was just removed.
#: ConstraintValidationFailed: someone hung an edge on an entity that was about to be removed.
#: EquivalentSchemaRuleAlreadyExists: someone else made the same index at the same moment, IF NOT EXISTS or not.
CONFLICTS = frozenset(
    {
        "Neo.ClientError.Schema.ConstraintValidationFailed",
        "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
        "Neo.ClientError.Statement.EntityNotFound",
        "Neo.ClientError.Transaction.LockClientStopped",
        "Neo.ClientError.Transaction.Terminated",
    }
)
#: The transaction's own timeout undid it.
EXPIRED = frozenset(
    {
        "Neo.ClientError.Transaction.TransactionTimedOut",
        "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
    }
)
OUTAGES = (driver.ServiceUnavailable, driver.SessionExpired, driver.ConnectionPoolError)


@contextmanager
def translated() -> Iterator[None]:
    """Raise our error for the driver's, which stays its cause."""
    try:
        yield
    except (driver.DriverError, driver.Neo4jError) as error:
        raise translate(error) from error


def translate(error: driver.DriverError | driver.Neo4jError) -> PersistenceError:
    """Return our error for one of the driver's."""
    if isinstance(error, driver.Neo4jError):
        return _refusal(error)
    if isinstance(error, OUTAGES):
        return GraphUnavailableError("Neo4j cannot be reached, or the connection to it was lost.")
    if isinstance(error, driver.ConfigurationError):
        return ConfigurationError("The Neo4j driver refuses the settings of the connection, or the server.")
    return GraphStoreError(f"The Neo4j driver failed ({type(error).__name__}).")


def _refusal(error: driver.Neo4jError) -> PersistenceError:
    """Return our error for what the server answered."""
    code = error.code or "without a code"
    if code.startswith("Neo.ClientError.Security.") and not isinstance(error, driver.Forbidden):
        return GraphUnavailableError("Neo4j refused the user or the password.")
    if code in CONFLICTS or code.startswith("Neo.TransientError.Transaction."):
        return GraphConflictError("Neo4j undid the transaction because of a concurrent one.")
    if code in EXPIRED:
        return GraphWriteExpiredError("Neo4j undid the transaction because its time had passed.")
    if isinstance(error, driver.TransientError):
        return GraphUnavailableError(f"Neo4j cannot serve the database now ({code}).")
    return GraphStoreError(f"Neo4j refused the operation ({code}).")
