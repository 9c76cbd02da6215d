"""Truth in a SQLite file: ``sqlite:///file.db``."""

from __future__ import annotations

from persistence.settings import PersistenceConfig
from persistence.vector import sqlite


async def make(url: str, config: PersistenceConfig) -> sqlite.SqliteStore:
    """Make the adapter."""
    return sqlite.SqliteStore(
        sqlite.path_of(url),
        auto_upgrade=config.auto_upgrade,
        readers=config.pool_size,
        busy_timeout=config.connect_timeout,
        synchronous=config.sqlite_synchronous,
        cache_mb=config.sqlite_cache_mb,
    )


async def schema_status(url: str, config: PersistenceConfig) -> tuple[int, int]:  # noqa: ARG001  # a backend's way to be asked
    """Return the version of the tables that are there, and the one needed."""
    return await sqlite.schema_status(sqlite.path_of(url))


async def upgrade(url: str, config: PersistenceConfig) -> tuple[int, int]:  # noqa: ARG001  # a backend's way to be asked
    """Make the tables, or bring them up to date."""
    return await sqlite.upgrade(sqlite.path_of(url))
