"""What goes wrong, as `application/problem+json` (RFC 9457): the types there are, and which error is of which.

docs/reference/problems.md lists them for those who call the API; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from api.http.models.problem import MEDIA_TYPE
from persistence import errors

PREFIX = "urn:diptych:problem:"
#: Seconds after which it makes sense to ask a store again that was down.
RETRY_AFTER = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem; ``slug`` ends its type."""

    slug: str
    status: HTTPStatus
    title: str

    @property
    def type(self) -> str:
        """The type's URI."""
        return PREFIX + self.slug


@dataclass(frozen=True, slots=True)
class Answer:
    """One problem, to be answered with. ``more``: further fields. ``retry_after``: in seconds; a 503 always has it."""

    kind: Kind
    detail: str
    hint: str | None = None
    retryable: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | None = None

    def response(self, request_id: str | None) -> JSONResponse:
        """Return the response."""
        body = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status.value,
            "detail": self.detail,
            "hint": self.hint,
            "retryable": self.retryable,
            "request_id": request_id,
            **self.more,
        }
        headers, wait = dict(self.headers), self.retry_after
        if wait is None and self.kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
            wait = RETRY_AFTER
        if wait is not None:
            headers["Retry-After"] = str(wait)
        return JSONResponse(body, self.kind.status.value, headers, MEDIA_TYPE)


UNAUTHENTICATED = Kind("unauthenticated", HTTPStatus.UNAUTHORIZED, "Nobody known asks")
FORBIDDEN = Kind("forbidden", HTTPStatus.FORBIDDEN, "Not allowed")
READ_ONLY = Kind("read-only", HTTPStatus.FORBIDDEN, "Nothing may be changed")
CROSS_SITE = Kind("cross-site", HTTPStatus.FORBIDDEN, "A page of another site asks")
MISDIRECTED = Kind("misdirected", HTTPStatus.MISDIRECTED_REQUEST, "Meant for another server")
UNDECIDED = Kind("access-undecided", HTTPStatus.SERVICE_UNAVAILABLE, "Who asks cannot be told")
NOT_FOUND = Kind("not-found", HTTPStatus.NOT_FOUND, "There is nothing here")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "Another method is needed")
TOO_LARGE = Kind("body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
MEDIA = Kind("unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another type")
TOO_MANY = Kind("too-many-requests", HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
NOT_READY = Kind("not-ready", HTTPStatus.SERVICE_UNAVAILABLE, "The server is not ready")
TIMED_OUT = Kind("deadline-exceeded", HTTPStatus.GATEWAY_TIMEOUT, "It took too long")
INTERNAL = Kind("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "Something unexpected happened")
INVALID = Kind("invalid-input", HTTPStatus.UNPROCESSABLE_ENTITY, "The input is not allowed")
UNKNOWN_OUTCOME = Kind("outcome-unknown", HTTPStatus.SERVICE_UNAVAILABLE, "It may or may not have happened")
CONFLICT = Kind("version-conflict", HTTPStatus.CONFLICT, "The memory is at another version")
FAILED_CONDITION = Kind(CONFLICT.slug, HTTPStatus.PRECONDITION_FAILED, CONFLICT.title)

#: Problems that no error of the library stands behind.
OF_HTTP = (
    UNAUTHENTICATED,
    FORBIDDEN,
    READ_ONLY,
    CROSS_SITE,
    MISDIRECTED,
    UNDECIDED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    MEDIA,
    TOO_MANY,
    NOT_READY,
    INTERNAL,
)

_BAD, _DOWN, _DEFECT = HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INTERNAL_SERVER_ERROR
_CLASH, _GONE = HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND

#: The kind of each error; one that is not here is of the kind of the class above it.
OF_ERRORS: Mapping[type[errors.PersistenceError], Kind] = {
    errors.PersistenceError: Kind("error", _DEFECT, "Something went wrong"),
    errors.ConfigurationError: Kind("configuration", _DEFECT, "The server is not set up rightly"),
    errors.InvalidInputError: INVALID,
    errors.MemoryNotFoundError: Kind("memory-not-found", _GONE, "There is no such memory"),
    errors.VersionConflictError: CONFLICT,
    errors.OutcomeUnknownError: UNKNOWN_OUTCOME,
    errors.BulkInterruptedError: Kind("bulk-interrupted", _DOWN, "It stopped half-way"),
    errors.DeadlineExceededError: TIMED_OUT,
    errors.ServiceClosedError: Kind("service-closed", _DOWN, "The server is starting or ending"),
    errors.VectorStoreError: Kind("vector-store", _BAD, "The vector store refused"),
    errors.VectorStoreUnavailableError: Kind("vector-store-unavailable", _DOWN, "The vector store cannot be reached"),
    errors.VectorStoreConflictError: Kind("vector-store-conflict", _DOWN, "The vector store was busy with the same"),
    errors.SchemaMissingError: Kind("schema-missing", _DEFECT, "The vector store has no schema yet"),
    errors.SchemaTooNewError: Kind("schema-too-new", _DEFECT, "The vector store's schema is newer"),
    errors.EmbeddingMismatchError: Kind("embedding-mismatch", _DEFECT, "The embeddings are of another model"),
    errors.GraphStoreError: Kind("graph-store", _BAD, "The graph store refused"),
    errors.GraphUnavailableError: Kind("graph-unavailable", _DOWN, "The graph store cannot be reached"),
    errors.GraphUntrustedError: Kind("graph-untrusted", _DOWN, "The graph store cannot be reached safely"),
    errors.GraphConflictError: Kind("graph-conflict", _DOWN, "The graph store was busy with the same"),
    errors.GraphWriteExpiredError: Kind("graph-write-expired", _DOWN, "The write came too late"),
    errors.GraphIdentityError: Kind("graph-identity", _DEFECT, "The graph is that of another truth"),
    errors.EmbeddingError: Kind("embedding", _BAD, "The embedder gave nothing usable"),
    errors.EmbeddingUnavailableError: Kind("embedding-unavailable", _DOWN, "The embedder cannot be reached"),
    errors.ExtractionError: Kind("extraction", _BAD, "The extractor gave nothing usable"),
    errors.ExtractionUnavailableError: Kind("extraction-unavailable", _DOWN, "The extractor cannot be reached"),
    errors.SyncError: Kind("sync", _CLASH, "This cannot be done as things are"),
    errors.BackupError: Kind("backup", _CLASH, "The backup cannot be made or used"),
    errors.BackupDamagedError: Kind("backup-damaged", _CLASH, "The backup is damaged"),
    errors.BackupPassphraseError: Kind("backup-passphrase", _CLASH, "The backup has another passphrase"),
    errors.TooManyRunsError: Kind("too-many-runs", _DOWN, "The server leads as many runs as it may"),
    errors.RunConflictError: Kind("run-conflict", _CLASH, "Another run is under way"),
    errors.RunNotFoundError: Kind("run-not-found", _GONE, "There is no such run"),
    errors.RunEndedError: Kind("run-ended", _CLASH, "The run has ended"),
    errors.LeaseLostError: Kind("lease-lost", _CLASH, "Somebody else has the run"),
    errors.RunCancelledError: Kind("run-cancelled", _CLASH, "The run was asked to stop"),
}


def kind_of(error: errors.PersistenceError) -> Kind:
    """Return the kind of an error."""
    return next(OF_ERRORS[above] for above in type(error).__mro__ if above in OF_ERRORS)
