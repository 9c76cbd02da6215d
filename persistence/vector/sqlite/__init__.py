"""Truth in one SQLite file."""

from persistence.vector.sqlite.address import path_of
from persistence.vector.sqlite.migrate import SchemaStatus, SqliteSchema, schema_status, upgrade
from persistence.vector.sqlite.store import SqliteStore

__all__ = ["SchemaStatus", "SqliteSchema", "SqliteStore", "path_of", "schema_status", "upgrade"]
