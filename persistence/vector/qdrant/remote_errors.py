"""The one edge where the client's errors become ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from persistence.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PersistenceError,
    SchemaMissingError,
    VectorStoreError,
    VectorStoreUnavailableError,
)


@contextmanager
def translated(*, write: bool = False) -> Iterator[None]:
    """Raise our errors in place of the client's. ``write``: what is sent in here may be done before it is answered."""
    try:
        yield
    except UnexpectedResponse as error:
        raise _refused(error.status_code or 0, write=write) from error
    except ResponseHandlingException as error:
        raise _lost(error.source, write=write) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        # Only an answer is decoded: so what was asked for may be done.
        raise _lost(error, write=write) from error
    except ResourceExhaustedResponse as error:
        raise _refused(httpx.codes.TOO_MANY_REQUESTS, write=write) from error
    except (ApiException, ValueError, TypeError) as error:
        raise VectorStoreError("A value could not be sent to Qdrant, or not be read from it.") from error


def _lost(source: Exception, *, write: bool) -> PersistenceError:
    if isinstance(source, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return VectorStoreUnavailableError("No Qdrant server answers at the vector store's address.")
    if write:
        return OutcomeUnknownError(
            "The connection to Qdrant was lost while a write was under way: it may or may not have happened."
        )
    return VectorStoreUnavailableError("The connection to Qdrant was lost, or it did not answer in time.")


def _refused(status: int, *, write: bool) -> PersistenceError:
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ConfigurationError("Qdrant refused the API key.", hint="set QDRANT_API_KEY, or qdrant://:key@host:6333")
    if status == httpx.codes.NOT_FOUND:
        return SchemaMissingError("The Qdrant collection of diptych is missing.")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return VectorStoreUnavailableError("Qdrant takes no more requests at the moment.", hint="try again shortly")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        if write:
            return OutcomeUnknownError(f"Qdrant failed at a write (HTTP {status}): it may or may not have happened.")
        return VectorStoreUnavailableError(f"Qdrant failed at a read (HTTP {status}).")
    return VectorStoreError(f"Qdrant refused the operation (HTTP {status}).")
