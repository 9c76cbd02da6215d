"""How durable a file store is, and how often it writes itself out whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fsync = Literal["always", "interval", "never"]


@dataclass(frozen=True, slots=True)
class FilePolicy:
    """When the disk is waited for, and what is kept.

    ``fsync``: ``always``, an acknowledged write survives the death of the machine; ``interval``, all but those of the
    last ``fsync_every`` seconds do; ``never``, the system decides. The death of the process loses nothing in any case.
    ``persist_every``: seconds after which a write makes a new snapshot; ``persist_bytes``: a log as long does too.
    ``backups``: former snapshots that are kept, with the logs that lead from them to now.
    """

    fsync: Fsync = "always"
    fsync_every: float = 1.0
    persist_every: float = 300.0
    persist_bytes: int = 64 * 2**20
    backups: int = 3
