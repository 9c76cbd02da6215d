"""The SQL of an adapter: texts from the .sql files of its package.

A file in ``sql/`` holds ``-- name: <name>``, a comment that says what the query does, and the query, as often as it
likes. Files in ``migrations/`` are named by the version that they lead to: ``0001_tables.sql``; one whose phase is
``post`` ``0002_name.post.sql``, and the way back from it ``0002_name.back.sql``. A file that begins with the line
``-- concurrently`` is not run in one transaction: each of its statements, which end with ``;`` at the end of a line,
is one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from persistence.ports.schema import Phase

_MARK = "-- name: "
_POST, _BACK = ".post.sql", ".back.sql"
_CONCURRENTLY = b"-- concurrently\n"


class Migration(NamedTuple):
    """One step of the schema, and the way back, None where there is none."""

    version: int
    name: str
    phase: Phase
    text: bytes
    back: bytes | None = None


def queries(package: str, subject: str) -> dict[str, str]:
    """Return the queries of one file by their names."""
    text = files(package).joinpath("sql", f"{subject}.sql").read_text("utf-8")
    parts = (part.partition("\n") for part in text.split(_MARK)[1:])
    return {name.strip(): body.strip().removesuffix(";") for name, _, body in parts}


def migrations(package: str) -> list[Migration]:
    """Return the migrations in the order of their versions; the last one's is the version this code knows."""
    return steps_in(files(package).joinpath("migrations"))


def steps_in(folder: Traversable) -> list[Migration]:
    """Return the migrations of a folder."""
    texts = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".sql")}
    forward = (name for name in texts if not name.endswith(_BACK))
    return sorted(_migration(name, texts) for name in forward)


def _migration(name: str, texts: Mapping[str, bytes]) -> Migration:
    phase = Phase.POST if name.endswith(_POST) else Phase.PRE
    stem = name.removesuffix(_POST).removesuffix(".sql")
    return Migration(int(stem[:4]), stem[5:], phase, texts[name], texts.get(f"{stem}{_BACK}"))


def statements(text: bytes) -> list[bytes] | None:
    """Return the statements of a script that is not run in one transaction, None where it is."""
    if not text.startswith(_CONCURRENTLY):
        return None
    return [part for part in text.removeprefix(_CONCURRENTLY).split(b";\n") if part.strip()]
