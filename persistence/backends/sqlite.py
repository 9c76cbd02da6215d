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


async def schema(url: str, config: PersistenceConfig) -> sqlite.SqliteSchema:
    """Return what looks at the tables and changes them."""
    return sqlite.SqliteSchema(_path(url, config))


def _path(url: str, config: PersistenceConfig) -> Path:
    """Return the file. Its folder must be there; only the folder of the settings is ours to make."""
    path, home = sqlite.path_of(url), config.home.expanduser().absolute()
    if path.parent == home:
        home.mkdir(parents=True, exist_ok=True)
    return path
