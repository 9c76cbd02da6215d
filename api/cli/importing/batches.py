"""Batches of entries, bounded by number and by bytes, made in a worker thread while the batch before is stored."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field

from api.cli.importing.entries import Entry, Fault, Item

MAX_BYTES = 16 * 1024 * 1024
#: A slow source's entries do not wait longer for others.
MAX_AGE_S = 2.0


@dataclass(slots=True)
class Batch:
    """Entries to be dealt with together. ``repeated``: how many have an id that stands earlier in the same batch."""

    items: list[Item] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    repeated: int = 0

    @property
    def read(self) -> int:
        """The number of entries."""
        return len(self.items) + len(self.faults) + self.repeated


class Batcher:
    """Cuts entries into batches. Not for two threads at once.

    ``first_wins``: of entries with one id in a batch the first is kept, as it is over the whole import where what is
    there is left alone. ``stop_at_fault``: nothing is read behind the first fault. ``limit``: entries in all.
    """

    def __init__(
        self,
        entries: Generator[Entry, None, None],
        *,
        size: int,
        first_wins: bool,
        stop_at_fault: bool,
        limit: int | None = None,
    ) -> None:
        self._entries = entries
        self._size = size
        self._first_wins = first_wins
        self._stop_at_fault = stop_at_fault
        self._left = limit

    def next(self) -> Batch | None:
        """Return the next batch, None at the end. Blocks. Raises SourceError, StoppedError."""
        batch = Batch()
        size, due = 0, time.monotonic() + MAX_AGE_S
        seen: set[tuple[str, str | None]] = set()
        while self._has_room(batch, size, due) and (entry := self._next()) is not None:
            if isinstance(entry, Fault):
                batch.faults.append(entry)
                continue
            size += entry.size
            self._take(entry, batch, seen)
        return batch if batch.read else None

    def _has_room(self, batch: Batch, size: int, due: float) -> bool:
        return batch.read < self._size and size < MAX_BYTES and (not batch.read or time.monotonic() < due)

    def close(self) -> None:
        """Close what is read from, where it was not read to its end. Not while ``next`` runs."""
        self._entries.close()

    def _next(self) -> Entry | None:
        if self._left == 0:
            return None
        entry = next(self._entries, None)
        if self._left is not None:
            self._left -= 1
        if isinstance(entry, Fault) and self._stop_at_fault:
            self._left = 0
        return entry

    def _take(self, item: Item, batch: Batch, seen: set[tuple[str, str | None]]) -> None:
        key = (item.draft.user_id, item.draft.id)
        if self._first_wins and key in seen:
            batch.repeated += 1
        else:
            seen.add(key)
            batch.items.append(item)
