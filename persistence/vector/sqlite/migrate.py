"""The file: whose it is, which version of the schema it holds, and how that is made or brought up to what we know.

A file that is not ours is refused before SQLite opens it in earnest, which would already write to it. What is decided
by that first look is decided once more under the write lock, before anything is made.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread

from persistence.errors import ConfigurationError, SchemaMissingError, SchemaTooNewError, VectorStoreUnavailableError
from persistence.vector.sqlite.errors import no_database, translated
from persistence.vector.sqlite.queries import Queries, migrations
from persistence.vector.sqlite.session import Session

#: The first with strict tables; everything else that we use is older.
_OLDEST_SQLITE = (3, 37)
#: "dptc", where a file says which application it belongs to.
APPLICATION = 1_685_091_427
#: Seconds to wait for another process that writes.
BUSY_TIMEOUT = 5.0
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_APPLICATION_AT = slice(68, 72)

_SCHEMA = Queries("schema")
_MARK, _TABLES = _SCHEMA.get("mark"), _SCHEMA.get("tables")
_WAL, _JOURNAL_LIMIT = Queries("session").get("wal"), Queries("session").get("journal_limit")


class SchemaStatus(NamedTuple):
    """The schema's version, 0 where there is none, and the version that this code knows."""

    version: int
    known: int


def admit(path: Path, *, auto_upgrade: bool) -> None:
    """Refuse a file that is not ours; and one that is not there, where it may not be made."""
    if not look(path) and not auto_upgrade:
        _check(SchemaStatus(0, migrations()[-1].version), auto_upgrade=False)


def look(path: Path) -> bool:
    """Say whether there is a file with something in it. Refuses one that is not ours, and leaves it untouched.

    Raises ConfigurationError, VectorStoreUnavailableError.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigurationError(
            f"This Python was built with SQLite {sqlite3.sqlite_version}; diptych needs 3.37 or newer.",
            hint="use a newer build of Python",
        )
    header = _header(path)
    if not header:
        return False
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        raise no_database()
    mark = int.from_bytes(header[_APPLICATION_AT], "big")
    if mark != APPLICATION and (mark or _has_tables(path)):
        raise _foreign()
    return True


def _header(path: Path) -> bytes:
    """Return the beginning of the file, nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)
    except FileNotFoundError as error:
        if path.parent.is_dir():
            return b""
        raise ConfigurationError(f"The folder {path.parent} is not there.", hint="make it first") from error
    except OSError as error:
        raise VectorStoreUnavailableError(
            "The file of the vector store cannot be read.", hint="check that it is a file, and its permissions"
        ) from error


def _has_tables(path: Path) -> bool:
    """Say whether a file without a mark holds tables.

    ``immutable``: SQLite writes nothing, neither to it nor beside it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            return bool(connection.execute(_TABLES).fetchone()[0])
    except sqlite3.DatabaseError:
        # Perhaps it is being made at this moment; under its lock we shall see.
        return False


def _foreign() -> ConfigurationError:
    return ConfigurationError(
        "The file of the vector store belongs to another application.",
        hint="name another file; this one was not touched",
    )


def ensure(session: Session, *, auto_upgrade: bool) -> tuple[int, int]:
    """Check the schema, make or upgrade it where that is allowed; return the versions before and after.

    Raises SchemaMissingError, SchemaTooNewError, ConfigurationError.
    """
    if not auto_upgrade:
        _check(session.read(_status), auto_upgrade=False)
    with translated():
        session.patiently(lambda: session.execute(_WAL))
        session.execute(_JOURNAL_LIMIT)
    return session.write(_migrate, "full")


def _status(session: Session) -> SchemaStatus:
    """Say which version is there. Raises ConfigurationError where the file is another application's."""
    known = migrations()[-1].version
    if session.number(_MARK) == APPLICATION:
        return SchemaStatus(session.number(_SCHEMA.get("schema_version")), known)
    if session.number(_MARK) or session.number(_TABLES):
        raise _foreign()
    return SchemaStatus(0, known)


def _check(status: SchemaStatus, *, auto_upgrade: bool) -> None:
    version, known = status
    if version > known:
        raise SchemaTooNewError(f"The SQLite file is at version {version}; this diptych knows {known} and older.")
    if version < known and not auto_upgrade:
        what = f"is at version {version}, this diptych needs {known}" if version else "has not been made"
        raise SchemaMissingError(f"The schema of the SQLite file {what}.")


def _migrate(session: Session) -> tuple[int, int]:
    """Apply what is missing."""
    status = _status(session)
    _check(status, auto_upgrade=True)
    if status.version == 0:
        session.execute(_SCHEMA.get("set_mark"))
        session.execute(_SCHEMA.get("create_migrations"))
    for step in migrations()[status.version :]:
        for statement in _statements(step.text.decode()):
            session.execute(statement)
        applied = {"version": step.version, "name": step.name, "now": time.time_ns() // 1_000}
        session.execute(_SCHEMA.get("record_migration"), applied)
    return status


def _statements(text: str) -> Iterator[str]:
    """Yield the statements of a script, which sqlite3 would not run inside a transaction."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


async def schema_status(path: str | Path) -> SchemaStatus:
    """Say which version of the schema a file holds. Changes nothing."""
    return await anyio.to_thread.run_sync(_status_of, Path(path))


async def upgrade(path: str | Path) -> tuple[int, int]:
    """Make the schema, or bring it up to date; return the versions before and after.

    Raises SchemaTooNewError, ConfigurationError (the file is not ours).
    """
    return await anyio.to_thread.run_sync(_upgraded, Path(path))


def _status_of(file: Path) -> SchemaStatus:
    if not look(file):
        return SchemaStatus(0, migrations()[-1].version)
    with closing(Session(file, BUSY_TIMEOUT)) as session:
        return session.read(_status)


def _upgraded(file: Path) -> tuple[int, int]:
    admit(file, auto_upgrade=True)
    with closing(Session(file, BUSY_TIMEOUT)) as session:
        return ensure(session, auto_upgrade=True)
