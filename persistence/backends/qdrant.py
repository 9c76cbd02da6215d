"""Truth on Qdrant: ``qdrant://host:port``, ``qdrants://…`` with TLS, and its engine embedded: ``qdrant:///folder``."""

from __future__ import annotations

import os

from persistence.backends import installed
from persistence.settings import PersistenceConfig
from persistence.vector import qdrant


async def make(url: str, config: PersistenceConfig) -> qdrant.QdrantStore:
    """Make the adapter. The server's key may be in the URL, or in the variable that Qdrant's own tools read."""
    with installed("qdrant"):
        return qdrant.make(
            url,
            collection=config.schema_name,
            api_key=os.environ.get("QDRANT_API_KEY"),
            auto_upgrade=config.auto_upgrade,
            timeout=config.batch_timeout,
        )


async def schema_status(url: str, config: PersistenceConfig) -> tuple[int, int]:
    """Return the version of the layout that is there, and the one needed."""
    return await (await make(url, config)).schema_status()


#: Opening the store is what makes its collections.
upgrade = schema_status
