"""The two truths of a migration, by their URLs: what is there is looked at before anything is opened."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from persistence import factory, urls
from persistence.backends import vector_backend
from persistence.errors import ConfigurationError
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig

#: Truths that asking for their version would make.
_IN_FOLDERS = ("file", "qdrant")


@asynccontextmanager
async def houses(
    source: str, target: str, config: PersistenceConfig, *, dry_run: bool
) -> AsyncIterator[tuple[VectorStore, VectorStore]]:
    """Open both. The source is neither made nor upgraded, nor is the target in a dry run: one that is missing is empty.

    Raises ConfigurationError, EmbeddingMismatchError (another model than the embedder of the settings).
    """
    if not await _is_there(source, config):
        raise ConfigurationError(f"There is no truth at {urls.mask(source)}.", hint="check --from-vector")
    if dry_run and not await _is_there(target, config):
        target = urls.MEMORY
    async with _opened(source, config, upgrade=False) as here, _opened(target, config, upgrade=not dry_run) as there:
        yield here, there


@asynccontextmanager
async def _opened(url: str, config: PersistenceConfig, *, upgrade: bool) -> AsyncIterator[VectorStore]:
    own = config.model_copy(
        update={
            "vector_url": SecretStr(url),
            "vector_password": None,  # it is that of the settings' own truth
            "auto_upgrade": upgrade and config.auto_upgrade,
        }
    )
    embedder = factory.make_embedder(own)
    store = await factory.make_vector(own, os.environ)
    try:
        await store.open(model=embedder.model, dimension=embedder.dimension)
        yield store
    finally:
        await store.close()
        await embedder.close()


async def _is_there(url: str, config: PersistenceConfig) -> bool:
    if urls.scheme(url) in _IN_FOLDERS and not urlsplit(url).netloc:
        return _has_entries(urls.folder(url))
    schema = await vector_backend(url).schema(url, config)
    return (await schema.state()).version > 0


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
