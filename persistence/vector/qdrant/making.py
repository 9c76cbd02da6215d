"""From a URL to a store. The library of the way that is not taken is not needed, and so not imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from persistence.errors import ConfigurationError
from persistence.vector.qdrant.engine import Engine
from persistence.vector.qdrant.options import parse
from persistence.vector.qdrant.store import QdrantStore


def make(
    url: str,
    *,
    collection: str = "diptych",
    api_key: str | None = None,
    auto_upgrade: bool = True,
    timeout: float = 60.0,
) -> QdrantStore:
    """Make a store, not opened yet: ``qdrant://[:key@]host[:port][/collection][?options]`` or ``qdrant:///folder``.

    ``timeout``: seconds that the server may take for one request. Raises ConfigurationError.
    """
    parts = urlsplit(url)
    engine: Engine
    if not parts.netloc and not parts.path.strip("/"):
        raise ConfigurationError(
            "The vector store's URL names neither a host nor a folder.", hint="qdrant://host:6333 or qdrant:///folder"
        )
    if not parts.netloc:
        engine = import_module("persistence.vector.qdrant.embedded").EmbeddedEngine(Path(unquote(parts.path)))
        return QdrantStore(engine, collection=collection, auto_upgrade=auto_upgrade)
    options = parse(parts.query)
    remote = import_module("persistence.vector.qdrant.remote")
    engine = remote.RemoteEngine(remote.connector(url, api_key=api_key, timeout=timeout), options)
    named = unquote(parts.path.strip("/")) or collection
    return QdrantStore(engine, collection=named, auto_upgrade=auto_upgrade)
