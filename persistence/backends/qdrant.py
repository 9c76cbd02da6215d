"""Truth on Qdrant: ``qdrant://host:port``, ``qdrants://…`` with TLS, and its engine embedded: ``qdrant:///folder``."""

from __future__ import annotations

import os

from persistence.backends import installed
from persistence.ports.schema import Whole
from persistence.secretfiles import secret
from persistence.settings import PersistenceConfig
from persistence.vector import qdrant


async def make(url: str, config: PersistenceConfig) -> qdrant.QdrantStore:
    """Make the adapter. The server's key may be in the URL, or in the variable that Qdrant's own tools read."""
    with installed("qdrant"):
        return qdrant.make(
            url,
            collection=config.schema_name,
            api_key=secret(os.environ, "QDRANT_API_KEY"),
            auto_upgrade=config.auto_upgrade,
            timeout=config.batch_timeout,
        )


async def schema(url: str, config: PersistenceConfig) -> Whole:
    """Return what looks at the collections; opening the store is what makes them."""
    return Whole((await make(url, config)).schema_state)
