"""One connection, used by one thread at a time; another thread may tell it to stop."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from persistence.errors import SchemaMissingError
from persistence.vector.sqlite.errors import is_busy, is_unwritten, translated, unknown
from persistence.vector.sqlite.queries import Queries

Row = tuple[Any, ...]
Parameters = Sequence[Any] | dict[str, Any]
Synchronous = Literal["full", "normal"]
T = TypeVar("T")

_SQL = Queries("session")
_SYNCHRONOUS = {"full": _SQL.get("full"), "normal": _SQL.get("normal")}
_BEGIN_READ, _BEGIN_WRITE = _SQL.get("begin_read"), _SQL.get("begin_write")
_TAKE = _SQL.get("take")
_COMMIT, _ROLL_BACK = _SQL.get("commit"), _SQL.get("roll_back")

#: Seconds for which SQLite itself waits for a lock, deaf to everything else; then we look whether to go on.
_PATIENCE = 0.05
#: Rows that are in memory at once while many are looked at.
_CHUNK = 1_000


class Session:
    """A connection that is set up, and the transactions on it. Raises our errors out of ``read`` and ``write``.

    ``busy_timeout``: seconds to wait for the write lock that another process holds.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._busy_timeout = busy_timeout
        self._stopped = threading.Event()
        self._synchronous: Synchronous | None = None
        self._connection = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def close(self) -> None:
        """Close the connection; the last one of all brings the log into the file."""
        self._connection.close()

    def rearm(self) -> None:
        """Make ready for the next one who uses it."""
        self._stopped.clear()

    def stop(self) -> None:
        """Make whoever uses it stop, from another thread: the statement that runs, or the next one, fails."""
        self._stopped.set()
        self._connection.interrupt()

    # --- transactions -------------------------------------------------------------------------------------------------

    def read(self, work: Callable[[Session], T]) -> T:
        """Do the work in one snapshot."""
        with translated():
            self._patiently(_BEGIN_READ)
            try:
                return work(self)
            finally:
                self._roll_back()

    def stay(self) -> None:
        """Begin a snapshot that stays until the connection is closed; it is of the moment of its first read."""
        with translated():
            self._patiently(_BEGIN_READ)
            self.row(_TAKE)

    def within(self, work: Callable[[Session], T]) -> T:
        """Do the work in the snapshot that stays."""
        with translated():
            return work(self)

    def write(self, work: Callable[[Session], T], synchronous: Synchronous) -> T:
        """Do the work with the write lock and commit it. Raises OutcomeUnknownError where the commit itself failed."""
        with translated():
            self._set(synchronous)
            self._patiently(_BEGIN_WRITE)
            try:
                done = work(self)
                self._look()
                self._commit()
            finally:
                self._roll_back()
            return done

    def _commit(self) -> None:
        try:
            self._connection.execute(_COMMIT)
        except sqlite3.Error as error:
            if self._connection.in_transaction or is_unwritten(error):
                raise
            raise unknown() from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(_ROLL_BACK)

    def _set(self, synchronous: Synchronous) -> None:
        if synchronous != self._synchronous:
            self._connection.execute(_SYNCHRONOUS[synchronous])
            self._synchronous = synchronous

    def _patiently(self, query: str) -> None:
        self.patiently(lambda: self._connection.execute(query))

    def patiently(self, step: Callable[[], T]) -> T:
        """Take a step that needs a lock, again and again while another connection has it, as long as we may wait."""
        end = time.monotonic() + self._busy_timeout
        while True:
            self._look()
            try:
                return step()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > end:
                    raise
                self._stopped.wait(_PATIENCE / 10)

    # --- statements ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Stop where we were told to: SQLite forgets an interruption that comes between two statements."""
        if self._stopped.is_set():
            stopped = sqlite3.OperationalError("interrupted")
            stopped.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
            raise stopped

    def execute(self, query: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Execute one statement."""
        self._look()
        return self._connection.execute(query, parameters)

    def row(self, query: str, parameters: Parameters = ()) -> Row | None:
        """Return the one row, None where there is none. Read to the end: a statement half read would keep its locks."""
        found = self.rows(query, parameters)
        return found[0] if found else None

    def rows(self, query: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        return self.execute(query, parameters).fetchall()

    def one(self, query: str, parameters: Parameters = ()) -> Row:
        """Return the one row that there has to be."""
        if (row := self.row(query, parameters)) is None:
            raise SchemaMissingError("The schema's own row (store_info) is gone.")
        return row

    def number(self, query: str, parameters: Parameters = ()) -> int:
        """Return the one number that a query answers with."""
        return int(self.one(query, parameters)[0])

    def changed(self, query: str, parameters: Parameters = ()) -> int:
        """Execute one statement; return how many rows it changed."""
        return self.execute(query, parameters).rowcount

    def many(self, query: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute one statement for each row of parameters; return how many rows were changed."""
        self._look()
        return max(0, self._connection.executemany(query, rows).rowcount)

    def chunks(self, query: str, parameters: Parameters) -> Iterator[list[Row]]:
        """Yield all rows, some at a time."""
        cursor = self.execute(query, parameters)
        while found := cursor.fetchmany(_CHUNK):
            self._look()
            yield found
