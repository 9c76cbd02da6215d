"""The file: whose it is, which version of the schema it holds, and how that is made or brought up to what we know.

A file that is not ours is refused before SQLite opens it in earnest, which would already write to it. What is decided
by that first look is decided once more under the write lock, before anything is made.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio.to_thread

from persistence.errors import ConfigurationError, SchemaMissingError, SchemaTooNewError, VectorStoreUnavailableError
from persistence.ports.schema import BOTH, Phase, SchemaState, Step, refuse_one_way, state_of
from persistence.sqlfiles import Migration
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


Steps = Sequence[Migration]
_NOT_MADE = "has not been made"


def admit(path: Path, *, auto_upgrade: bool) -> None:
    """Refuse a file that is not ours; and one that is not there, where it may not be made."""
    if not look(path) and not auto_upgrade:
        _refuse_unusable(state_of([], migrations()))


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


def ensure(
    session: Session, *, auto_upgrade: bool, phases: Collection[Phase] | None = None, steps: Steps | None = None
) -> list[Step]:
    """Check the schema, make it or apply what is due where that is allowed; return the steps applied.

    ``phases``: which to apply; unless they are given, those that this code needs, for older processes may be at work.
    Raises SchemaMissingError, SchemaTooNewError, ConfigurationError.
    """
    known = steps or migrations()
    if not auto_upgrade:
        _refuse_unusable(session.read(partial(_state, known=known)))
    with translated():
        session.patiently(lambda: session.execute(_WAL))
        session.execute(_JOURNAL_LIMIT)
    return session.write(lambda own: _migrate(own, known, phases, auto_upgrade=auto_upgrade), "full")


def _state(session: Session, known: Steps) -> SchemaState:
    """Say which steps were applied. Raises ConfigurationError where the file is another application's."""
    if session.number(_MARK) == APPLICATION:
        query = "applied" if session.number(_SCHEMA.get("has_phases")) else "applied_before_phases"
        rows = session.rows(_SCHEMA.get(query))
        applied = [Step(row[0], row[1], Phase.PRE if row[2] == Phase.PRE else Phase.POST) for row in rows]
        return state_of(applied, known)
    if session.number(_MARK) or session.number(_TABLES):
        raise _foreign()
    return state_of([], known)


def _refuse_unusable(found: SchemaState) -> None:
    if found.too_new:
        raise SchemaTooNewError(
            f"The SQLite file is at version {found.version}; this diptych knows {found.known}, and a later step has"
            " taken away what it needs."
        )
    if found.lacking:
        what = f"is at version {found.version}, this diptych needs {found.known}" if found.version else _NOT_MADE
        raise SchemaMissingError(f"The schema of the SQLite file {what}.")


def _migrate(session: Session, known: Steps, phases: Collection[Phase] | None, *, auto_upgrade: bool) -> list[Step]:
    """Apply what is due, all of it in the transaction of the caller; refuse what cannot be used as it is then."""
    found = _state(session, known)
    if found.too_new:
        _refuse_unusable(found)
    wanted = BOTH if found.version == 0 else phases if phases is not None else (Phase.PRE,)
    due = found.due(wanted) if auto_upgrade else ()
    if due and found.version == 0:
        session.execute(_SCHEMA.get("set_mark"))
        session.execute(_SCHEMA.get("create_migrations"))
    for step in due:
        _do(session, known[step.version - 1], forward=True)
    if phases is None:
        _refuse_unusable(_state(session, known))
    return list(due)


def _do(session: Session, step: Migration, *, forward: bool) -> None:
    for statement in _statements((step.text if forward else step.back or b"").decode()):
        session.execute(statement)
    if not session.number(_SCHEMA.get("has_phases")):
        session.execute(_SCHEMA.get("add_phases"))
    done = {"version": step.version, "name": step.name, "now": time.time_ns() // 1_000, "phase": step.phase.value}
    session.execute(_SCHEMA.get("record_migration" if forward else "forget_migration"), done)


def _revert(session: Session, known: Steps, to: int) -> list[Step]:
    found = _state(session, known)
    going = [step for step in reversed(known) if to < step.version <= found.version]
    refuse_one_way(found, going, to)
    for step in going:
        _do(session, step, forward=False)
    return [Step(*step[:3]) for step in going]


def _statements(text: str) -> Iterator[str]:
    """Yield the statements of a script, which sqlite3 would not run inside a transaction."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class SqliteSchema:
    """The tables of a file, for whoever looks at them or changes them; ``steps`` are those of this code."""

    def __init__(self, path: str | Path, *, steps: Steps | None = None) -> None:
        self._path = Path(path)
        self._steps = steps or migrations()

    async def state(self) -> SchemaState:
        """Say what is there. Changes nothing."""
        return await anyio.to_thread.run_sync(self._found)

    async def apply(self, phases: Collection[Phase] = BOTH) -> list[Step]:
        """Make the file where it is missing, and apply what is due. Raises SchemaTooNewError, ConfigurationError."""
        return await anyio.to_thread.run_sync(self._applied, phases)

    async def revert(self, to: int) -> list[Step]:
        """Take steps back. Raises ConfigurationError."""
        return await anyio.to_thread.run_sync(self._reverted, to)

    def _found(self) -> SchemaState:
        if not look(self._path):
            return state_of([], self._steps)
        with closing(Session(self._path, BUSY_TIMEOUT)) as session:
            return session.read(partial(_state, known=self._steps))

    def _applied(self, phases: Collection[Phase]) -> list[Step]:
        admit(self._path, auto_upgrade=True)
        with closing(Session(self._path, BUSY_TIMEOUT)) as session:
            return ensure(session, auto_upgrade=True, phases=phases, steps=self._steps)

    def _reverted(self, to: int) -> list[Step]:
        admit(self._path, auto_upgrade=False)
        with closing(Session(self._path, BUSY_TIMEOUT)) as session:
            return session.write(lambda own: _revert(own, self._steps, to), "full")
