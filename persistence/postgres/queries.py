"""The queries: texts from the .sql files of a package, each under a name; and the steps of its schema.

A file holds ``-- name: <name>``, a comment that says what the query does, and the query, as often as it likes.
``{braces}`` are filled by psycopg.sql, never by formatting strings.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from psycopg import sql

_MARK = "-- name: "


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    text: bytes


class Queries:
    """The queries of one file in the folder ``sql`` of a package."""

    def __init__(self, package: str, subject: str) -> None:
        text = files(package).joinpath("sql", f"{subject}.sql").read_text("utf-8")
        parts = (part.partition("\n") for part in text.split(_MARK)[1:])
        self._texts = {name.strip(): body.strip().removesuffix(";") for name, _, body in parts}

    def template(self, name: str) -> sql.SQL:
        """Return a query whose braces are still to be filled."""
        return sql.SQL(self._texts[name])

    def get(self, name: str, **parts: sql.Composable) -> bytes:
        """Return a query, its braces filled. Made once, so that psycopg parses it once."""
        return self.template(name).format(**parts).as_bytes(None)


def migrations(package: str) -> list[Migration]:
    """Return a package's migrations in the order of their versions; the last one's is the version this code knows."""
    found = [entry for entry in files(package).joinpath("migrations").iterdir() if entry.name.endswith(".sql")]
    return sorted(Migration(int(f.name[:4]), f.name[5:-4], f.read_bytes()) for f in found)
