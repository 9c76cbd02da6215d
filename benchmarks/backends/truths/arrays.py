"""Exact search by numpy: what a store without a vector index is measured against, and every recall by."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import DIMENSION
from persistence.records import Vector

_SIZE = 1_024


class Matrix:
    """The embeddings of one tenant, which have length 1, and their ids."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._rows = np.empty((_SIZE, DIMENSION), dtype=np.float32)

    def add(self, memory_id: str, vector: Vector) -> None:
        """Add one."""
        if len(self.ids) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[len(self.ids)] = vector
        self.ids.append(memory_id)

    def nearest(self, vector: Vector, limit: int) -> list[str]:
        """Return the ids of the nearest, best first."""
        scores = self._rows[: len(self.ids)] @ vector
        best = np.argpartition(scores, -limit)[-limit:] if limit < len(scores) else np.arange(len(scores))
        return [self.ids[place] for place in best[np.argsort(-scores[best])]]
