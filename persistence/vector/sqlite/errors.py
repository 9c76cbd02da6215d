"""The one edge where sqlite3's errors become ours, by their codes; no text is looked at or repeated.

Whether a write happened is known in all cases but one: where SQLite could not say that it had finished a COMMIT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from persistence.errors import (
    ConfigurationError,
    InvalidInputError,
    OutcomeUnknownError,
    PersistenceError,
    VectorStoreError,
    VectorStoreUnavailableError,
)

_PRIMARY = 0xFF


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 where it is the driver that speaks."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection was in the way."""
    return code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_unwritten(error: sqlite3.Error) -> bool:
    """Say whether a COMMIT that failed so has written nothing that counts.

    The mark that ends a transaction is the last thing written to the log: where a write failed, for want of room, of
    quota or of a larger file, it is not there. Where waiting for the disk failed, it may be.
    """
    exact = getattr(error, "sqlite_errorcode", 0)
    return code(error) == sqlite3.SQLITE_FULL or exact == sqlite3.SQLITE_IOERR_WRITE


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors in place of sqlite3's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error) from error
    except UnicodeEncodeError as error:
        raise InvalidInputError("text", error.object, "texts must not contain lone surrogates") from error


def translate(error: sqlite3.Error) -> PersistenceError:
    """Return our error for sqlite3's."""
    if (make := _BY_CODE.get(code(error))) is not None:
        return make()
    if isinstance(error, sqlite3.ProgrammingError):
        return not_open()
    name = getattr(error, "sqlite_errorname", "no code")
    return VectorStoreError(f"SQLite refused the operation ({name}).")


def not_open() -> VectorStoreUnavailableError:
    """Return the error of a store that is used before it is opened, or after it was closed."""
    return VectorStoreUnavailableError("The vector store is not open.", hint="open it first")


def unknown() -> OutcomeUnknownError:
    """Return the error of a COMMIT that neither succeeded nor was undone."""
    return OutcomeUnknownError("SQLite failed while it committed a write: it may or may not have happened.")


def no_database() -> ConfigurationError:
    """Return the error of a file that is something else."""
    return ConfigurationError(
        "The file of the vector store is no SQLite database.", hint="name another file; this one was not touched"
    )


def _unavailable(message: str, hint: str) -> VectorStoreUnavailableError:
    return VectorStoreUnavailableError(message, hint=hint)


def _busy() -> VectorStoreUnavailableError:
    return _unavailable(
        "Another process held the lock of the SQLite file for too long.", "find out which one writes for so long"
    )


def _damaged() -> VectorStoreError:
    return VectorStoreError(
        "The SQLite file is damaged.", hint="copy it, look at it with PRAGMA integrity_check, and restore a backup"
    )


_BY_CODE = {
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
    sqlite3.SQLITE_FULL: lambda: _unavailable(
        "The disk is full, or the SQLite file may not grow any more; nothing was written.", "make room on its disk"
    ),
    sqlite3.SQLITE_IOERR: lambda: _unavailable("The SQLite file could not be read or written.", "look at its disk"),
    sqlite3.SQLITE_CANTOPEN: lambda: _unavailable(
        "The SQLite file could not be opened.", "check that its folder is there and may be written by this user"
    ),
    sqlite3.SQLITE_READONLY: lambda: _unavailable(
        "The SQLite file takes no writes.", "check that the file and its folder may be written by this user"
    ),
    sqlite3.SQLITE_PERM: lambda: _unavailable("The SQLite file may not be used by this user.", "check its permissions"),
    sqlite3.SQLITE_NOMEM: lambda: _unavailable("SQLite has run out of memory.", "look at the machine's memory"),
    sqlite3.SQLITE_INTERRUPT: lambda: _unavailable("The operation was interrupted; it was undone.", "repeat it"),
    sqlite3.SQLITE_CORRUPT: _damaged,
    sqlite3.SQLITE_NOTADB: no_database,
}
