"""How stores are kept in files, by the settings."""

from __future__ import annotations

from persistence.files import FilePolicy
from persistence.settings import PersistenceConfig


def policy(config: PersistenceConfig) -> FilePolicy:
    """Return the part of the settings that is about files."""
    return FilePolicy(
        fsync=config.file_fsync,
        fsync_every=config.file_fsync_every,
        persist_every=config.file_persist_every,
        backups=config.file_backups,
    )
