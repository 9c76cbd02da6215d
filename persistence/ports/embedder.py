"""The embedder: texts in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Embedder(Protocol):
    """Turns texts into vectors of one model."""

    @property
    def model(self) -> str:
        """The model's name, recorded in the truth; another name is another space of vectors."""
        ...

    @property
    def dimension(self) -> int:
        """The number of dimensions of every vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return an array of shape ``(len(texts), dimension)``, in the order given. Raises EmbeddingError."""
        ...

    async def close(self) -> None:
        """Release connections. Safe to call twice."""
        ...
