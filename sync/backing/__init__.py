"""Backups of a truth: made while everything goes on, checked to the last byte, restored by version.

    report = await back_up(store, folder)
    report = await restore(store, folder)

What a backup is made of is in manifest.py, frames.py and rows.py, and in docs/decisions/0022.
"""

from sync.backing.backup import LONGEST, Wish, back_up, backups, verify
from sync.backing.chains import found, is_encrypted
from sync.backing.holding import Holding, holdings
from sync.backing.model import BackupReport, RestoreReport, Shown, as_json
from sync.backing.restoring import restore
from sync.backing.retention import Keep, prune

__all__ = [
    "LONGEST",
    "BackupReport",
    "Holding",
    "Keep",
    "RestoreReport",
    "Shown",
    "Wish",
    "as_json",
    "back_up",
    "backups",
    "found",
    "holdings",
    "is_encrypted",
    "prune",
    "restore",
    "verify",
]
