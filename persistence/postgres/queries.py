"""The queries of a package: ``{braces}`` in them are filled by psycopg.sql, never by formatting strings."""

from __future__ import annotations

from psycopg import sql

from persistence import sqlfiles


class Queries:
    """The queries of one file in the folder ``sql`` of a package."""

    def __init__(self, package: str, subject: str) -> None:
        self._texts = sqlfiles.queries(package, subject)

    def template(self, name: str) -> sql.SQL:
        """Return a query whose braces are still to be filled."""
        return sql.SQL(self._texts[name])

    def get(self, name: str, **parts: sql.Composable) -> bytes:
        """Return a query, its braces filled. Made once, so that psycopg parses it once."""
        return self.template(name).format(**parts).as_bytes(None)
