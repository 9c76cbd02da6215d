"""Backups in tests: settings, a store that is filled, and what must be the same after a restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from persistence import PersistenceConfig
from sync.backing import Wish, back_up
from sync.backing.model import BackupReport

CONFIG = PersistenceConfig()


async def backed_up(store: Any, path: Path, **wish: Any) -> BackupReport:
    return await back_up(store, path, Wish(**wish), config=CONFIG)


def files(folder: Path) -> dict[str, bytes]:
    """Return everything that is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
