"""The embedded PostgreSQL: a real server in the folder of the settings, started where it does not run."""

from __future__ import annotations

from persistence.backends import adapter
from persistence.settings import PersistenceConfig


async def server_url(config: PersistenceConfig) -> str:
    """Return the server's URL. Raises ConfigurationError."""
    local = adapter("persistence.local", "embedded")
    url: str = await local.ensure_postgres(config.home.expanduser())
    return url
