"""The embedder that needs no model: words and pieces of words, hashed into a vector.

Two texts are near where they share words, word pairs or spellings. That finds what is worded alike, not what means
the same; it is the default because it is deterministic, quick and works offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import anyio.lowlevel
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from persistence.embedding.features import MAX_ROWS, features, weigh, words

MAX_DIMENSION = 16_000
#: Characters that are embedded at once; what is longer is embedded in pieces, whose sums are added up.
BATCH = 65_536
PIECE = 16_384
#: Cells of one batch's array at most (8 MiB).
CELLS = 1 << 20
#: Up to so many characters (well under a millisecond) a thread would cost more than it saves.
INLINE = 1_024

Sums = npt.NDArray[np.float64]


class HashingEmbedder:
    """Embeds by feature hashing into ``dimension`` dimensions; every vector has length 1, that of "" too.

    The model's name changes when the vectors do.
    """

    def __init__(self, dimension: int = 384) -> None:
        if dimension not in range(1, MAX_DIMENSION + 1):
            raise ValueError(f"The dimension must be 1 to {MAX_DIMENSION}, not {dimension}.")
        self._dimension = dimension
        self._max_rows = max(1, min(MAX_ROWS, CELLS // dimension))

    @property
    def model(self) -> str:
        return "diptych-hashing-1"

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        for start, stop, size in _batches(texts, self._max_rows):
            batch = texts[start:stop]
            if size <= INLINE:
                vectors[start:stop] = _embedded(batch, self._dimension)
                await anyio.lowlevel.checkpoint()
            else:
                vectors[start:stop] = await anyio.to_thread.run_sync(_embedded, batch, self._dimension)
        return vectors

    async def close(self) -> None:
        """Hold nothing, release nothing."""


def _batches(texts: Sequence[str], max_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield the start, the stop and the characters of each batch; a text longer than a piece stands alone."""
    start = size = 0
    for position, text in enumerate(texts):
        length = len(text)
        alone = length > PIECE or (position > start and len(texts[start]) > PIECE)
        if position > start and (alone or size + length > BATCH or position - start >= max_rows):
            yield start, position, size
            start, size = position, 0
        size += length
    if start < len(texts):
        yield start, len(texts), size


def _embedded(texts: Sequence[str], dimension: int) -> npt.NDArray[np.float32]:
    sums = _long_sum(texts[0], dimension) if len(texts) == 1 and len(texts[0]) > PIECE else _sums(texts, dimension)
    lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    cancelled = lengths == 0
    if cancelled.any():
        sums[cancelled, 0] = lengths[cancelled] = 1.0
    sums /= lengths[:, np.newaxis]
    return sums.astype(np.float32)


def _sums(texts: Sequence[str], dimension: int) -> Sums:
    return weigh(features([words(text) for text in texts]), len(texts), dimension)


def _long_sum(text: str, dimension: int) -> Sums:
    total = np.zeros((1, dimension))
    for start in range(0, len(text), PIECE):
        total += _sums([text[start : start + PIECE]], dimension)
    return total
