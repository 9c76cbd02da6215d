"""The counts of an import."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from persistence.results import Outcome, PersistenceResult


@dataclass(slots=True)
class Tally:
    """What became of what was read: ``read`` is the sum of ``stored``, ``already_present`` and ``rejected``.

    ``pending`` are those of the stored whose graph copy the relay has still to make.
    """

    read: int = 0
    stored: int = 0
    already_present: int = 0
    rejected: int = 0
    pending: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    def add(self, results: Sequence[PersistenceResult]) -> None:
        """Count the outcomes of one batch."""
        stored = sum(result.changed for result in results)
        self.stored += stored
        self.already_present += len(results) - stored
        self.pending += sum(result.changed and result.outcome is Outcome.PENDING for result in results)
        self.read += len(results)

    def repeat(self, count: int) -> None:
        """Count entries that stood in the same batch before."""
        self.already_present += count
        self.read += count

    def reject(self, count: int) -> None:
        """Count rejected lines."""
        self.rejected += count
        self.read += count

    def as_json(self) -> dict[str, Any]:
        """Return the fields that scripts lean on."""
        return {
            "read": self.read,
            "stored": self.stored,
            "already_present": self.already_present,
            "rejected": self.rejected,
            "pending": self.pending,
            "duration_ms": round(self.seconds * 1000, 1),
        }

    def sentence(self) -> str:
        """Return the counts in words."""
        parts = [f"{self.read:,} read", f"{self.stored:,} stored", f"{self.already_present:,} already present"]
        parts += [f"{self.rejected:,} rejected"] if self.rejected else []
        parts += [f"{self.pending:,} pending"] if self.pending else []
        return f"{', '.join(parts)}, in {self.seconds:.1f} s"
