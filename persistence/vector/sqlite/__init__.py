"""Truth in one SQLite file."""

from persistence.vector.sqlite.address import path_of
from persistence.vector.sqlite.migrate import SqliteSchema
from persistence.vector.sqlite.store import SqliteStore

__all__ = ["SqliteSchema", "SqliteStore", "path_of"]
