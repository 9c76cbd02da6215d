"""A tenant's embeddings as one matrix of unit vectors, changed row by row, and the nearest of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from persistence.vector.sqlite.rows import FLOATS

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Rows whose products are taken at once in double precision.
_BLOCK = 2_048
#: About what a row takes beside its floats: its number, its id, its place in a dictionary.
_OVERHEAD = 200


class Hit(NamedTuple):
    """A memory that was found: its cosine similarity, its id, the number of its row in the store."""

    score: float
    id: str
    number: int


def row_bytes(dimension: int) -> int:
    """Return what a row takes in memory, about."""
    return 4 * dimension + _OVERHEAD


def unit(vectors: npt.NDArray[np.floating]) -> Doubles:
    """Return the vectors, shape ``(n, d)``, at length 1; in double precision, since a square may leave the single."""
    doubles: Doubles = vectors.astype(np.float64)
    doubles /= np.linalg.norm(doubles, axis=1, keepdims=True)
    return doubles


def stacked(embeddings: Sequence[bytes]) -> Floats:
    """Return stored embeddings as unit vectors, shape ``(n, d)``."""
    flat = np.frombuffer(b"".join(embeddings), dtype=FLOATS)
    return unit(flat.reshape(len(embeddings), -1)).astype(np.float32)


def cosines(vectors: Floats, query: Doubles) -> Doubles:
    """Return the cosine of each unit vector with a unit query.

    Each row is summed up by itself and in one order, so that equal vectors have equal cosines, wherever they stand: a
    product of matrices does not promise that.
    """
    blocks = [(vectors[i : i + _BLOCK].astype(np.float64) * query).sum(axis=1) for i in range(0, len(vectors), _BLOCK)]
    return np.clip(np.concatenate(blocks), -1.0, 1.0) if blocks else np.empty(0)


def best(hits: Sequence[Hit], limit: int) -> list[Hit]:
    """Return the best hits, those that are equally near by their ids."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:limit]


class Matrix:
    """The embeddings of a tenant. Rows are in no order: one that goes leaves its place to the last one."""

    def __init__(self, dimension: int, room: int) -> None:
        self._vectors: Floats = np.empty((max(room, 16), dimension), dtype=np.float32)
        self._numbers: Integers = np.empty(len(self._vectors), dtype=np.int64)
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self._vectors) * row_bytes(self._vectors.shape[1])

    def put(self, ids: Sequence[str], numbers: Sequence[int], vectors: Floats) -> None:
        """Set the rows of these memories, unit vectors of shape ``(n, d)``."""
        rows = [self._row(memory_id) for memory_id in ids]
        self._vectors[rows] = vectors
        self._numbers[rows] = numbers

    def _row(self, memory_id: str) -> int:
        """Return the row of a memory, a new one where it has none."""
        row = self._rows.setdefault(memory_id, len(self._ids))
        if row == len(self._ids):
            self._ids.append(memory_id)
            if len(self._ids) > len(self._vectors):
                self._grow()
        return row

    def _grow(self) -> None:
        room = len(self._vectors) // 2
        self._vectors = np.concatenate([self._vectors, np.empty((room, self._vectors.shape[1]), dtype=np.float32)])
        self._numbers = np.concatenate([self._numbers, np.empty(room, dtype=np.int64)])

    def remove(self, memory_id: str) -> None:
        """Take a memory's row away, if it has one."""
        row = self._rows.pop(memory_id, None)
        if row is None:
            return
        last, moved = len(self._ids) - 1, self._ids.pop()
        if row != last:
            self._vectors[row], self._numbers[row] = self._vectors[last], self._numbers[last]
            self._ids[row] = moved
            self._rows[moved] = row

    def nearest(self, query: Doubles, limit: int, among: Integers | None) -> list[Hit]:
        """Return the rows nearest to a unit vector, best first; ``among``: numbers of the rows that may be found."""
        rows = np.arange(len(self)) if among is None else np.flatnonzero(np.isin(self._numbers[: len(self)], among))
        rows = rows[self._promising(query, rows, limit)]
        scores = cosines(self._vectors[rows], query)
        hits = [Hit(float(s), self._ids[row], int(self._numbers[row])) for s, row in zip(scores, rows, strict=True)]
        return best(hits, limit)

    def _promising(self, query: Doubles, rows: Integers, limit: int) -> npt.NDArray[np.bool_]:
        """Say which rows can be among the nearest, by products in single precision and the error these may have."""
        if len(rows) <= limit:
            return np.ones(len(rows), dtype=bool)
        # Not ``@``: its library spreads the rows over threads of its own, and where the cores are busy it waits for
        # them many times as long as all of it takes.
        rough = np.einsum("ij,j->i", self._vectors[: len(self)], query.astype(np.float32))[rows]
        place = len(rows) - max(limit, 1)
        error = 2 * len(query) * np.finfo(np.float32).eps
        promising: npt.NDArray[np.bool_] = rough >= np.partition(rough, place)[place] - error
        return promising
