"""From a URL to a store. The library of the way that is not taken is not needed, and so not imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from persistence.errors import ConfigurationError
from persistence.vector.qdrant.address import parse as parse_address
from persistence.vector.qdrant.engine import Engine
from persistence.vector.qdrant.options import FolderOptions, Options, parse
from persistence.vector.qdrant.store import QdrantStore

_FORMS = "qdrant://host:6333, qdrants://host:6333/collection or qdrant:///folder"
#: What Qdrant takes in no name of a collection.
_NOT_IN_NAMES = frozenset('<>:"/\\|?*\0\x1f')


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
    parts = _split(url)
    engine: Engine
    if not parts.netloc:
        options = parse(parts.query, FolderOptions)
        embedded = import_module("persistence.vector.qdrant.embedded")
        engine = embedded.EmbeddedEngine(_folder(parts), flush_every=options.flush_every)
        return QdrantStore(engine, collection=collection, auto_upgrade=auto_upgrade)
    remote = import_module("persistence.vector.qdrant.remote")
    address = parse_address(url)
    connect = remote.connector(address, api_key=api_key, timeout=timeout)
    engine = remote.RemoteEngine(connect, parse(address.options, Options), address)
    return QdrantStore(engine, collection=_collection(parts) or collection, auto_upgrade=auto_upgrade)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigurationError("The vector store's URL is no URL.", hint=_FORMS) from error


def _folder(parts: SplitResult) -> Path:
    path = unquote(parts.path)
    if parts.scheme != "qdrant" or not path.strip("/") or "\0" in path:
        raise ConfigurationError("The vector store's URL names neither a host nor a folder.", hint=_FORMS)
    return Path(path)


def _collection(parts: SplitResult) -> str:
    name = unquote(parts.path.strip("/"))
    if set(name) & _NOT_IN_NAMES:
        raise ConfigurationError("The vector store's URL names no collection that Qdrant can have.", hint=_FORMS)
    return name
