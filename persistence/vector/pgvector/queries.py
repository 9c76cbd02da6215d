"""The queries: texts from the .sql files of this package, each under a name.

A file holds ``-- name: <name>``, a comment that says what the query does, and the query, as often as it likes.
``{braces}`` are filled by psycopg.sql, never by formatting strings.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from psycopg import sql

_MARK = "-- name: "

#: The columns of a memory in the order of rows.to_memory.
_NAMES = (
    "id", "user_id", "agent_id", "run_id", "content", "metadata", "entities", "relationships", "extracted",
    "embedding", "version", "digest", "created_at", "updated_at",
)  # fmt: skip
MEMORY_WIDTH = len(_NAMES)
#: All of a memory; all but its embedding; all of the memory that a write replaced.
MEMORY = sql.SQL(", ").join(sql.Identifier("m", name) for name in _NAMES)
MEMORY_LIGHT = sql.SQL(", ").join(
    sql.SQL("NULL::vector") if name == "embedding" else sql.Identifier("m", name) for name in _NAMES
)
FORMER = sql.SQL(", ").join(sql.SQL("(w.former).{}").format(sql.Identifier(name)) for name in _NAMES)
#: The columns of an outbox entry in the order of rows.to_entry.
ENTRY = sql.SQL(
    "o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim,"
    " o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced"
)


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    text: bytes


class Queries:
    """The queries of one file."""

    def __init__(self, subject: str) -> None:
        text = files(__package__).joinpath("sql", f"{subject}.sql").read_text("utf-8")
        parts = (part.partition("\n") for part in text.split(_MARK)[1:])
        self._texts = {name.strip(): body.strip().removesuffix(";") for name, _, body in parts}

    def template(self, name: str) -> sql.SQL:
        """Return a query whose braces are still to be filled."""
        return sql.SQL(self._texts[name])

    def get(self, name: str, **parts: sql.Composable) -> bytes:
        """Return a query, its braces filled. Made once, so that psycopg parses it once."""
        return self.template(name).format(**parts).as_bytes(None)


def migrations() -> list[Migration]:
    """Return the migrations in the order of their versions; the last one's is the version this code knows."""
    found = [entry for entry in files(__package__).joinpath("migrations").iterdir() if entry.name.endswith(".sql")]
    return sorted(Migration(int(f.name[:4]), f.name[5:-4], f.read_bytes()) for f in found)
