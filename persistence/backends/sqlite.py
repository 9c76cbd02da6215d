"""Truth in a SQLite file: ``sqlite:///file.db``."""

from __future__ import annotations

from pathlib import Path

from persistence.settings import PersistenceConfig
from persistence.vector import sqlite


async def make(url: str, config: PersistenceConfig) -> sqlite.SqliteStore:
    """Make the adapter."""
    path = _path(url, config)
    return sqlite.SqliteStore(
        path,
        auto_upgrade=config.auto_upgrade,
        readers=config.pool_size,
        busy_timeout=config.connect_timeout,
        synchronous=config.sqlite_synchronous,
        cache_mb=config.sqlite_cache_mb,
    )


async def schema_status(url: str, config: PersistenceConfig) -> tuple[int, int]:
    """Return the version of the tables that are there, and the one needed."""
    return await sqlite.schema_status(_path(url, config))


async def upgrade(url: str, config: PersistenceConfig) -> tuple[int, int]:
    """Make the tables, or bring them up to date."""
    return await sqlite.upgrade(_path(url, config))


def _path(url: str, config: PersistenceConfig) -> Path:
    """Return the file. Its folder must be there; only the folder of the settings is ours to make."""
    path, home = sqlite.path_of(url), config.home.expanduser().absolute()
    if path.parent == home:
        home.mkdir(parents=True, exist_ok=True)
    return path
