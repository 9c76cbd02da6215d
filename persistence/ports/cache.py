"""The cache of search texts: what was embedded before, where all processes find it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class QueryCache(Protocol):
    """Embeddings of search texts, each tenant's its own. It raises nothing: what it does not say is embedded anew."""

    async def get(self, user_id: str, text: str) -> npt.NDArray[np.float32] | None:
        """Return the vector of a text that this tenant has searched for; None where there is none any more."""
        ...

    async def put(self, user_id: str, text: str, vector: npt.NDArray[np.float32]) -> None:
        """Keep a vector for a while."""
        ...

    async def close(self) -> None:
        """Release connections. Safe to call twice."""
        ...
