"""From URLs and settings to adapters, by the backends that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from uuid import UUID

from pydantic import SecretStr

from persistence import urls
from persistence.assembly import Adapters, assemble
from persistence.backends import adapter, graph_backend, graph_schema, vector_backend
from persistence.choosing import settled
from persistence.errors import ConfigurationError
from persistence.ports.cache import QueryCache
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extractor
from persistence.ports.graph import GraphStore
from persistence.ports.schema import BOTH, Schema, SchemaState
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller of ``connect`` gave."""

    vector: str | VectorStore | None = None
    graph: str | GraphStore | None = None
    embedder: Embedder | None = None
    extractor: Extractor | None = None
    config: PersistenceConfig | None = None


async def build(given: Given, environ: Mapping[str, str]) -> tuple[PersistenceConfig, Adapters]:
    """Make the adapters, not opened yet. Raises ConfigurationError."""
    brought = bool(given.vector) and not isinstance(given.vector, str)
    config = await settled(configured(given), environ, truth_given=brought)
    vector = given.vector if given.vector and not isinstance(given.vector, str) else await make_vector(config, environ)
    if given.graph and not isinstance(given.graph, str):
        graph: GraphStore | None = given.graph
    else:
        graph = await _make_graph(config, environ, truth_given=brought)
    if not config.enable_graph_store:
        graph = None
    embedder = given.embedder or make_embedder(config)
    extractor = given.extractor or make_extractor(config)
    return config, Adapters(vector, graph, embedder, extractor, _make_cache(config, embedder))


async def _make_graph(config: PersistenceConfig, environ: Mapping[str, str], *, truth_given: bool) -> GraphStore | None:
    """Make the graph's adapter; beside a truth that the caller brought, no server is started for one by default."""
    source = urls.graph_source(config, environ)
    if truth_given and source.origin == "default":
        config = config.model_copy(update={"graph_url": SecretStr(urls.MEMORY)})
    return await make_graph(config, environ)


def configured(given: Given) -> PersistenceConfig:
    """Return the settings: those given, else those of the environment; URLs that were given win."""
    found = {
        "vector_url": given.vector if isinstance(given.vector, str) else None,
        "graph_url": given.graph if isinstance(given.graph, str) else None,
    }
    if given.config is None:
        return PersistenceConfig.load(**found)
    update = {name: value for name, value in found.items() if value is not None}
    return PersistenceConfig(**{**given.config.model_dump(), **update}) if update else given.config


async def make_vector(config: PersistenceConfig, environ: Mapping[str, str]) -> VectorStore:
    """Make the truth's adapter, starting the embedded server where that is the truth."""
    url = _vector_url(config, environ)
    return await vector_backend(url).make(url, config)


async def upgrade_schema(given: Given, environ: Mapping[str, str]) -> tuple[int, int]:
    """Make the schemas or bring them up to date in both phases, and build a vector index that a load has left out.

    Returns the versions of the truth's before and after.
    """
    config = await settled(configured(given), environ)
    found = await schemas(given, environ)
    before = (await found["truth"].state()).version
    for schema in found.values():
        await schema.apply(BOTH)
    allowed = config.model_copy(update={"auto_upgrade": True})
    embedder, store = given.embedder or make_embedder(config), await make_vector(allowed, environ)
    try:
        await store.open(model=embedder.model, dimension=embedder.dimension)
        await store.end_load()
    finally:
        await store.close()
        await embedder.close()
    return before, (await found["truth"].state()).version


async def schema_state(given: Given, environ: Mapping[str, str]) -> SchemaState:
    """Say what of the truth's schema is there, and whether this code can work with it. Changes nothing."""
    config = await settled(configured(given), environ)
    url = _vector_url(config, environ)
    return await (await vector_backend(url).schema(url, config)).state()


async def schemas(given: Given, environ: Mapping[str, str]) -> dict[str, Schema]:
    """Return the schema of the truth, and that of the graph where it has one, as ``truth`` and ``graph``."""
    config = await settled(configured(given), environ)
    url, graph = _vector_url(config, environ), urls.graph_source(config, environ).url.get_secret_value()
    found = {"truth": await vector_backend(url).schema(url, config)}
    if urls.scheme(graph) != urls.scheme(urls.NONE) and (own := await graph_schema(graph, config)) is not None:
        found["graph"] = own
    return found


def _vector_url(config: PersistenceConfig, environ: Mapping[str, str]) -> str:
    return urls.vector_source(config, environ).url.get_secret_value()


async def make_graph(config: PersistenceConfig, environ: Mapping[str, str]) -> GraphStore | None:
    """Make the graph's adapter, starting the embedded server where the graph is there; None for ``none://``."""
    url = urls.graph_source(config, environ).url.get_secret_value()
    if urls.scheme(url) == urls.scheme(urls.NONE):
        return None
    return await graph_backend(url).make(url, config)


def make_embedder(config: PersistenceConfig) -> Embedder:
    """Make the embedder of the settings: an endpoint, or feature hashing where none is set."""
    if config.embedding_url is None:
        hashing: Embedder = import_module("persistence.embedding.hashing").HashingEmbedder(config.embedding_dimension)
        return hashing
    if config.embedding_model is None:
        raise ConfigurationError("An embedding endpoint is set, but no model.", hint="set DIPTYCH_EMBEDDING_MODEL")
    openai: Embedder = adapter("persistence.embedding.openai", "openai").OpenAIEmbedder(
        config.embedding_url, config.embedding_model, config.embedding_dimension, config.embedding_api_key
    )
    return openai


def make_extractor(config: PersistenceConfig) -> Extractor:
    """Make the extractor of the settings: an endpoint, or rules where none is set."""
    if config.extraction_url is None:
        rules: Extractor = import_module("persistence.extraction.rules").RuleExtractor()
        return rules
    if config.extraction_model is None:
        raise ConfigurationError("An extraction endpoint is set, but no model.", hint="set DIPTYCH_EXTRACTION_MODEL")
    openai: Extractor = adapter("persistence.extraction.openai", "openai").OpenAIExtractor(
        config.extraction_url, config.extraction_model, config.extraction_api_key
    )
    return openai


def _make_cache(config: PersistenceConfig, embedder: Embedder) -> QueryCache | None:
    """Make the cache of search texts, where the settings name one."""
    if config.embedding_cache_url is None:
        return None
    cache: QueryCache = adapter("persistence.embedding.shared", "redis").RedisQueryCache(
        config.embedding_cache_url,
        embedder.model,
        embedder.dimension,
        seconds=config.embedding_cache_time,
        secret=config.embedding_api_key,
    )
    return cache


async def adopt_graph(given: Given, environ: Mapping[str, str], *, former_truth: UUID | None = None) -> int | None:
    """Make the configured graph the graph of the configured truth, and list everything in the outbox for it.

    ``former_truth``: the truth, lost and restored as this one, to which the graph belongs until now.
    Returns how many entries are pending, None where that could not be counted.
    """
    config, adapters = await build(given, environ)
    quiet = config.model_copy(update={"enable_relay": False, "graph_required": True})
    parts = await assemble(adapters, quiet, adopt_graph=True, former_truth=former_truth)
    try:
        return (await parts.relay.report()).pending
    finally:
        await parts.close()
