"""Every error that diptych raises, and nothing else.

    PersistenceError
    ├── ConfigurationError           a setting, a URL, a missing extra
    ├── InvalidInputError            one field of the caller's input (also a ValueError)
    ├── MemoryNotFoundError          no such memory under this tenant (also a LookupError)
    ├── VersionConflictError         ``expected_version`` is not the version that is there
    ├── OutcomeUnknownError          the write may or may not have happened
    ├── BulkInterruptedError         a bulk call stopped half-way; what was acknowledged is in it
    ├── DeadlineExceededError        the call's deadline passed before anything was written (also a TimeoutError)
    ├── ServiceClosedError           the service was used before it was opened or after it was closed
    ├── VectorStoreError             the truth
    │   ├── VectorStoreUnavailableError
    │   ├── VectorStoreConflictError
    │   ├── SchemaMissingError
    │   ├── SchemaTooNewError
    │   └── EmbeddingMismatchError
    ├── GraphStoreError              the projection
    │   ├── GraphUnavailableError
    │   │   └── GraphUntrustedError  encryption that cannot be had as it must be
    │   ├── GraphConflictError
    │   ├── GraphWriteExpiredError
    │   └── GraphIdentityError
    ├── EmbeddingError               the embedder
    │   └── EmbeddingUnavailableError
    ├── ExtractionError              the extractor
    │   └── ExtractionUnavailableError
    └── SyncError                    a check, a repair, a rebuild
        ├── RunConflictError         another run of this kind is under way; it is in the error
        ├── TooManyRunsError         this process leads as many runs as it may
        ├── RunNotFoundError         no such run (also a LookupError)
        ├── RunEndedError            the run is done, there is nothing to resume
        ├── LeaseLostError           somebody else took the run over
        ├── BackupError              a backup could not be made, or cannot be used here
        │   ├── BackupDamagedError   it is not what was written; nothing of it was restored
        │   └── BackupPassphraseError  it is encrypted, with another passphrase or with one at all
        └── RunCancelledError        the run was asked to stop; what it did until then is in the error

A message is one sentence that says what happened. ``hint`` says what to do, ``retryable`` whether the same call can
succeed later without anyone changing anything. The driver's error is kept as ``__cause__``; its text is never
repeated in the message, because drivers put connection strings and parameters there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

MAX_SHOWN = 60


def shorten(value: object) -> str:
    """Return ``repr(value)``, cut to ``MAX_SHOWN`` characters, safe to print."""
    text = _shown(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _shown(value: object) -> str:
    """Return the beginning of ``repr(value)``; the type of what has none: too many digits, an object's own defect."""
    text = ""
    try:
        for piece in _pieces(value):
            text += piece
            if len(text) > MAX_SHOWN:
                break
    except Exception:  # noqa: BLE001  # a refusal must not fail because of what it refuses
        return f"<{type(value).__name__}>"
    return text


def _pieces(value: object) -> Iterator[str]:
    """Yield ``repr(value)`` as it is made, so that of what is large or deep only the beginning costs anything."""
    if isinstance(value, str | bytes | tuple):
        yield repr(value[: MAX_SHOWN * 2])
    elif type(value) is dict:
        yield "{"
        for place, (key, inner) in enumerate(value.items()):
            yield ", " if place else ""
            yield from _pieces(key)
            yield ": "
            yield from _pieces(inner)
        yield "}"
    elif type(value) is list:
        yield "["
        for place, inner in enumerate(value):
            yield ", " if place else ""
            yield from _pieces(inner)
        yield "]"
    else:
        yield repr(value)


class PersistenceError(Exception):
    """Something went wrong in diptych."""

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """Use the class's docstring where no message is given."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint or self.default_hint
        super().__init__(self.message)


class ConfigurationError(PersistenceError):
    """A setting is wrong or missing."""


class InvalidInputError(PersistenceError, ValueError):
    """A value of the input is not allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        """Name the field, the value (shortened) and what is allowed there."""
        self.field = field
        self.value = shorten(value)
        self.allowed = allowed
        super().__init__(f"{field}: {self.value} is not allowed; {allowed}.")


class MemoryNotFoundError(PersistenceError, LookupError):
    """There is no such memory under this tenant."""


class VersionConflictError(PersistenceError):
    """The memory is at another version than the one expected."""

    default_hint = "read the memory again and repeat the change on what it is now"

    def __init__(self, expected: int, actual: int | None) -> None:
        """``actual`` is None where the memory does not exist (any more)."""
        self.expected = expected
        self.actual = actual
        found = "the memory does not exist" if actual is None else f"the memory is at version {actual}"
        super().__init__(f"Version {expected} was expected, but {found}.")


class OutcomeUnknownError(PersistenceError):
    """The truth may or may not have been written."""

    default_hint = (
        "read the memory; if the write is not there, repeat it (with an idempotency key it is safe to repeat)"
    )


class BulkInterruptedError(PersistenceError):
    """A bulk call stopped half-way; ``results`` holds, by position, the items that truth acknowledged before."""

    retryable = True
    default_hint = "repeat the items that have no result; items with an id can all be repeated"

    def __init__(self, results: Mapping[int, object], total: int) -> None:
        self.results = results
        super().__init__(f"The call stopped after {len(results)} of {total} items were acknowledged.")


class DeadlineExceededError(PersistenceError, TimeoutError):
    """The call's deadline passed before it was done."""

    retryable = True
    default_hint = "repeat the call, or give it a longer timeout"


class ServiceClosedError(PersistenceError):
    """The service is not open."""

    default_hint = "use it inside `async with AsyncPersistenceService.connect(…) as memories:`"


class VectorStoreError(PersistenceError):
    """The vector store refused the operation."""


class VectorStoreUnavailableError(VectorStoreError):
    """The vector store cannot be reached."""

    retryable = True
    default_hint = "check that the server is up and that the URL and the password are right (`diptych doctor`)"


class VectorStoreConflictError(VectorStoreError):
    """The vector store undid the operation because of a concurrent one."""

    retryable = True


class SchemaMissingError(VectorStoreError):
    """The vector store has no schema of diptych, or an older one."""

    default_hint = "diptych schema upgrade"


class SchemaTooNewError(VectorStoreError):
    """The vector store's schema is newer than this version of diptych."""

    default_hint = "upgrade diptych on this machine"


class EmbeddingMismatchError(VectorStoreError):
    """The vector store holds embeddings of another model or dimension."""

    default_hint = "use the embedder the store was made with, or another schema for another model"


class GraphStoreError(PersistenceError):
    """The graph store refused the operation."""


class GraphUnavailableError(GraphStoreError):
    """The graph store cannot be reached."""

    retryable = True
    default_hint = "check that the server is up and that the URL and the password are right (`diptych doctor`)"


class GraphUntrustedError(GraphUnavailableError):
    """The encrypted connection to the graph store cannot be had."""

    retryable = False
    default_hint = "look at the certificates, the server's and the URL's (docs/how-to/connect-with-tls.md)"


class GraphConflictError(GraphStoreError):
    """The graph store undid the operation because of a concurrent one."""

    retryable = True


class GraphWriteExpiredError(GraphStoreError):
    """The graph store refused a write because its time had passed; nothing was touched."""

    retryable = True


class GraphIdentityError(GraphStoreError):
    """This graph and this truth do not belong together."""

    default_hint = (
        "check both URLs; `diptych schema adopt-graph` makes a new graph the graph of this truth,"
        " with --from also that of a truth that is lost"
    )


class EmbeddingError(PersistenceError):
    """The embedder gave no usable embedding."""


class EmbeddingUnavailableError(EmbeddingError):
    """The embedder cannot be reached, or is overloaded."""

    retryable = True
    default_hint = "check the endpoint's URL and state, or repeat the call later"


class ExtractionError(PersistenceError):
    """The extractor gave no usable entities and relationships."""


class ExtractionUnavailableError(ExtractionError):
    """The extractor cannot be reached, or is overloaded."""

    retryable = True
    default_hint = "check the endpoint's URL and state, or repeat the call later"


class SyncError(PersistenceError):
    """A check, a repair or a rebuild could not be done."""


class RunConflictError(SyncError):
    """Another run of this kind is under way."""

    def __init__(self, run: object, run_id: object, kind: str, scope: str) -> None:
        """``run`` is the one that is under way."""
        self.run = run
        super().__init__(f"A {kind} of {scope} is under way.", hint=f"diptych runs show {run_id}")


class TooManyRunsError(SyncError):
    """This process leads as many runs as it may."""

    retryable = True
    default_hint = "wait until one of them has ended (`diptych runs list`)"


class RunNotFoundError(SyncError, LookupError):
    """There is no such run."""

    default_hint = "diptych runs list"


class RunEndedError(SyncError):
    """The run has ended, and there is nothing to resume."""

    default_hint = "begin a new one"


class LeaseLostError(SyncError):
    """Somebody else has taken the run over, because its lease had run out."""

    default_hint = "diptych runs list"


class BackupError(SyncError):
    """A backup could not be made or used."""


class BackupDamagedError(BackupError):
    """The backup is damaged or incomplete."""

    default_hint = "use another one: diptych backup list"


class BackupPassphraseError(BackupError):
    """The passphrase is not the one that the backup was encrypted with."""

    default_hint = "give the right one by --passphrase-file or DIPTYCH_BACKUP_PASSPHRASE"


class RunCancelledError(SyncError):
    """The run was asked to stop, and did."""

    def __init__(self, report: object, run_id: object) -> None:
        """``report`` is that of what was done until then."""
        self.report = report
        super().__init__(hint=f"diptych runs resume {run_id}")
