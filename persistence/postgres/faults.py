"""The one edge where psycopg's errors become ours, for every store that stands on PostgreSQL.

What a lost connection means depends on when it was lost: before a write was sent nothing happened, while its
acknowledgement was awaited anything may have. The SQLSTATE decides everything else; no text is looked at or repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from persistence.errors import PersistenceError

_CONFLICTS = frozenset({"40001", "40P01", "40002", "55P03", "23505"})
_UNKNOWN = frozenset({"08007", "40003"})
_MISSING = frozenset({"3F000", "42P01", "42883", "42703", "42704"})
#: Lost connections and servers that go down or come up.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})

Kind = type[PersistenceError]


@dataclass(frozen=True, slots=True)
class Faults:
    """The errors of one store. ``own``: what it says of a SQLSTATE that means something to it alone, None of others.

    ``unknown``: a write whose acknowledgement was lost. ``unusable``: a connection that nothing but another URL or
    another right would make. ``unfit``: a privilege or a schema that somebody has to see to.
    ``untrusted``: an encrypted connection that cannot be had.
    """

    store: str
    refused: Kind
    unavailable: Kind
    conflict: Kind
    missing: Kind
    unknown: Kind
    unusable: Kind
    unfit: Kind
    untrusted: Kind
    own: Callable[[str, psycopg.Error], PersistenceError | None]

    @contextmanager
    def translated(self, *, write: bool = False) -> Iterator[None]:
        """Raise our errors in place of psycopg's. ``write``: what is sent in here commits before it is answered."""
        try:
            yield
        except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise self.translate(error, write=write) from error

    def translate(self, error: psycopg.Error, *, write: bool) -> PersistenceError:
        """Return our error for psycopg's."""
        if isinstance(error, PoolTimeout | TooManyRequests):
            return self.unavailable("No connection to PostgreSQL was to be had in time.")
        if isinstance(error, PoolClosed):
            return self.not_open()
        state = error.sqlstate
        if state is None:
            return self._without_state(error, write=write)
        if state in _UNKNOWN or (write and _is_lost(state)):
            return self._in_doubt()
        return self.own(state, error) or self._by_state(state)

    def held_up(self) -> PersistenceError:
        """Return the error of a step of the schema that did not get at its table."""
        return self.conflict(
            "A step of the schema needs a table that a long transaction holds; nothing of it was done.",
            hint="look for the transaction in pg_stat_activity, wait for its end or end it, and repeat",
        )

    def not_open(self) -> PersistenceError:
        """Return the error of a store that is used before it is opened, or after it was closed."""
        return self.unavailable(f"The {self.store} is not open.", hint="open it first")

    def _without_state(self, error: psycopg.Error, *, write: bool) -> PersistenceError:
        """No SQLSTATE: it is not the server that says so, but the driver."""
        if isinstance(error, psycopg.OperationalError):
            return self._in_doubt() if write else self.unavailable("The connection to PostgreSQL was lost.")
        if isinstance(error, psycopg.InterfaceError):
            return self.unavailable("The connection to PostgreSQL cannot be used any more.")
        return self.refused("A value could not be sent to PostgreSQL, or not be read from it.")

    def _in_doubt(self) -> PersistenceError:
        return self.unknown(
            "The connection to PostgreSQL was lost while a write was being committed: it may or may not have happened."
        )

    def _by_state(self, state: str) -> PersistenceError:
        if state in _CONFLICTS:
            return self.conflict("PostgreSQL undid the operation because of a concurrent one.")
        if state in _MISSING:
            return self.missing("The schema of diptych, or a part of it, is missing in this database.")
        if state == "42501":
            return self.unfit(
                "The database user lacks a privilege that diptych needs.",
                hint="let the schema's owner run `diptych schema upgrade`, and grant this user the use of its tables",
            )
        return self._trouble(state)

    def _trouble(self, state: str) -> PersistenceError:
        if _is_lost(state):
            return self.unavailable("The connection to PostgreSQL was lost.")
        if state == "57014":
            return self.unavailable("PostgreSQL did not answer in time; the statement was undone.")
        if state == "25006":
            return self.unavailable("This PostgreSQL server takes no writes.", hint="connect to the primary")
        if state.startswith("53"):
            return self.unavailable(
                f"PostgreSQL has run out of a resource (SQLSTATE {state}).",
                hint="look at its disk, its memory and its connections",
            )
        return self.refused(f"PostgreSQL refused the operation (SQLSTATE {state}).")


def _is_lost(state: str) -> bool:
    return state in _LOST or state.startswith("08")
