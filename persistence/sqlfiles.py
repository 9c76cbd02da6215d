"""The SQL of an adapter: texts from the .sql files of its package.

A file in ``sql/`` holds ``-- name: <name>``, a comment that says what the query does, and the query, as often as it
likes. Files in ``migrations/`` are named by the version that they lead to: ``0001_tables.sql``.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

_MARK = "-- name: "


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    text: bytes


def queries(package: str, subject: str) -> dict[str, str]:
    """Return the queries of one file by their names."""
    text = files(package).joinpath("sql", f"{subject}.sql").read_text("utf-8")
    parts = (part.partition("\n") for part in text.split(_MARK)[1:])
    return {name.strip(): body.strip().removesuffix(";") for name, _, body in parts}


def migrations(package: str) -> list[Migration]:
    """Return the migrations in the order of their versions; the last one's is the version this code knows."""
    found = [entry for entry in files(package).joinpath("migrations").iterdir() if entry.name.endswith(".sql")]
    return sorted(Migration(int(f.name[:4]), f.name[5:-4], f.read_bytes()) for f in found)
