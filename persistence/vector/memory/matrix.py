"""One tenant's embeddings as matrices, for exact search: what was put in stays where it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persistence.records import Vector
from persistence.vector.memory.rows import Row

_SMALLEST, _LARGEST = 16, 65_536


class Block:
    """So many embeddings, their lengths, and whose they are (None: a place that is free).

    ``used``: places taken so far. ``unmeasured``: those whose length is not known yet.
    """

    def __init__(self, size: int, dimension: int) -> None:
        self.vectors = np.zeros((size, dimension), dtype=np.float32)
        self.lengths = np.ones(size, dtype=np.float32)
        self.rows: list[Row | None] = [None] * size
        self.used = 0
        self.unmeasured: list[int] = []

    def measure(self) -> None:
        """Find out the lengths that are not known yet, all at once."""
        if self.unmeasured:
            places = np.array(self.unmeasured)
            # In float64: the squares of small numbers have few digits left in float32.
            found = self.vectors[places].astype(np.float64)
            self.lengths[places] = np.sqrt(np.einsum("ij,ij->i", found, found))
            self.unmeasured.clear()


#: A place: the number of its block, and the position there.
Place = tuple[int, int]


class Matrix:
    """Grows by doubling, in blocks, so that nothing is copied and a search can go on beside it.

    A place that is given up is not used again while anybody reads, so what a reader has seen stays as it was.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self.blocks: list[Block] = []
        self._free: list[Place] = []
        self._given_up: list[Place] = []
        self._places: dict[str, Place] = {}
        self._readers = 0

    def put(self, row: Row) -> None:
        """Take a row's embedding in; from now on the row's is the one in here."""
        former = self._places.get(row.id)
        block_number, position = place = self._place()
        block = self.blocks[block_number]
        block.vectors[position] = row.embedding
        block.unmeasured.append(position)
        block.rows[position] = row
        row.embedding = block.vectors[position]
        self._places[row.id] = place
        if former is not None:
            self._give_up(former)

    def remove(self, memory_id: str) -> None:
        """Give a memory's place up."""
        self._give_up(self._places.pop(memory_id))

    def enter(self) -> None:
        """Begin to read, under the store's lock."""
        self._readers += 1

    def leave(self) -> None:
        """End to read, under the store's lock."""
        self._readers -= 1
        if not self._readers:
            self._free += self._given_up
            self._given_up.clear()

    def _give_up(self, place: Place) -> None:
        block, position = place
        self.blocks[block].rows[position] = None
        (self._given_up if self._readers else self._free).append(place)

    def _place(self) -> Place:
        if self._free:
            return self._free.pop()
        if not self.blocks or self.blocks[-1].used == len(self.blocks[-1].rows):
            size = min(max(sum(len(block.rows) for block in self.blocks), _SMALLEST), _LARGEST)
            self.blocks.append(Block(size, self._dimension))
        block = self.blocks[-1]
        block.used += 1
        return len(self.blocks) - 1, block.used - 1


class View:
    """The blocks as they are now: their rows copied, their vectors not."""

    def __init__(self, matrix: Matrix) -> None:
        for block in matrix.blocks:
            block.measure()
        self.parts = [(block.vectors, block.lengths.copy(), list(block.rows)) for block in matrix.blocks]


def nearest(view: View, vector: Vector, limit: int, wanted: npt.NDArray[np.bool_] | None) -> list[tuple[Row, float]]:
    """Return the rows nearest by cosine, best first, those that are equally near in the order of their ids.

    A first pass in float32 over all finds candidates; these are compared in float64, so that equal vectors are equal
    whatever their places are.
    """
    rows = [row for _, _, part in view.parts for row in part]
    rough = _rough(view, vector)
    there = np.fromiter((row is not None for row in rows), dtype=bool, count=len(rows))
    rough[~there if wanted is None else ~(there & wanted)] = -np.inf
    places = _candidates(rough, limit)
    found = [(row, score) for row, score in zip((rows[p] for p in places), _exact(rows, places, vector), strict=True)]
    hits = [(row, float(score)) for row, score in found if row is not None]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0].id))[:limit]


def _rough(view: View, vector: Vector) -> npt.NDArray[np.float32]:
    query = vector.astype(np.float64)
    unit = (query / np.sqrt(query @ query)).astype(np.float32)
    parts = [vectors @ unit / lengths for vectors, lengths, _ in view.parts]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


#: How far a float32 cosine may lie from the exact one.
_SLACK = np.float32(1e-4)


def _candidates(rough: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.intp]:
    """Return the places that may be among the nearest: everything not clearly below the last of them."""
    if limit < len(rough):
        bound = np.partition(rough, len(rough) - limit)[len(rough) - limit]
        return np.flatnonzero((rough >= bound - _SLACK) & np.isfinite(rough))
    return np.flatnonzero(np.isfinite(rough))


def _exact(rows: list[Row | None], places: npt.NDArray[np.intp], vector: Vector) -> npt.NDArray[np.float64]:
    vectors = [row.embedding for row in (rows[place] for place in places) if row is not None]
    if not vectors:
        return np.empty(0)
    found, query = np.stack(vectors).astype(np.float64), vector.astype(np.float64)
    lengths = np.sqrt((found * found).sum(axis=1)) * np.sqrt((query * query).sum())
    cosines: npt.NDArray[np.float64] = np.clip((found * query).sum(axis=1) / lengths, -1.0, 1.0)
    return cosines
