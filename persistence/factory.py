"""From URLs and settings to adapters. The one place that knows them all; a backend's libraries are imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from pydantic import SecretStr

from persistence import urls
from persistence.assembly import Adapters, assemble
from persistence.errors import ConfigurationError
from persistence.files import FilePolicy
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extractor
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig

GRAPH_SCHEMES = frozenset({"neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"})
#: The graph's database on the embedded server, beside the truth's.
GRAPH_DATABASE = "diptych_graph"
#: Of the truth's schema, in the name of the graph's: PostgreSQL's names have 63 bytes.
LONGEST_NAME = 57


class Place(NamedTuple):
    """Where a graph's tables are."""

    url: str
    schema: str


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
    config = configured(given)
    vector = given.vector if given.vector and not isinstance(given.vector, str) else await make_vector(config, environ)
    graph = given.graph if given.graph and not isinstance(given.graph, str) else await _make_graph(given, environ)
    if not config.enable_graph_store:
        graph = None
    return config, Adapters(
        vector, graph, given.embedder or make_embedder(config), given.extractor or make_extractor(config)
    )


async def _make_graph(given: Given, environ: Mapping[str, str]) -> GraphStore | None:
    """Make the graph's adapter; beside a truth that the caller brought, no server is started for one by default."""
    config = configured(given)
    source = urls.graph_source(config, environ)
    if given.vector and not isinstance(given.vector, str) and source.origin == "default":
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
    if (in_memory := _memory_store(config, environ)) is not None:
        return in_memory
    module, url = await _pgvector(config, environ)
    store: VectorStore = module.PgVectorStore(
        url,
        schema=config.schema_name,
        auto_upgrade=config.auto_upgrade,
        pool_size=config.pool_size,
        connect_timeout=config.connect_timeout,
        index_memory_mb=config.index_memory_mb,
    )
    return store


async def upgrade_schema(given: Given, environ: Mapping[str, str]) -> tuple[int, int]:
    """Make the truth's schema or bring it up to date, and build a vector index that a load has left out.

    Returns the versions before and after.
    """
    config = configured(given)
    if _format(config, environ) is not None:
        return await _upgrade_files(given, config, environ)
    module, url = await _pgvector(config, environ)
    versions: tuple[int, int] = await module.upgrade(
        url, schema=config.schema_name, connect_timeout=config.connect_timeout
    )
    embedder, store = given.embedder or make_embedder(config), await make_vector(config, environ)
    try:
        await store.open(model=embedder.model, dimension=embedder.dimension)
        await store.end_load()
    finally:
        await store.close()
        await embedder.close()
    return versions


async def schema_status(given: Given, environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the version of the truth's schema (0: there is none) and the one that this code needs."""
    config = configured(given)
    if (version := _format(config, environ)) is not None:
        return version, version
    module, url = await _pgvector(config, environ)
    there, needed = await module.schema_status(url, schema=config.schema_name, connect_timeout=config.connect_timeout)
    return there, needed


async def _pgvector(config: PersistenceConfig, environ: Mapping[str, str]) -> tuple[ModuleType, str]:
    url = urls.vector_source(config, environ).url.get_secret_value()
    kind = urls.scheme(url)
    if kind == "embedded":
        return _adapter("persistence.vector.pgvector", "embedded"), await _embedded_url(config)
    if kind in urls.POSTGRES_SCHEMES:
        return _adapter("persistence.vector.pgvector", "pgvector"), url
    raise ConfigurationError(
        f"{urls.mask(url)} names no vector store of this version.",
        hint="use postgresql://…, embedded://, file:///folder or memory://",
    )


def _memory_store(config: PersistenceConfig, environ: Mapping[str, str]) -> VectorStore | None:
    """Make a truth in memory, alone or kept in files; None where the URL names another one."""
    url = urls.vector_source(config, environ).url.get_secret_value()
    if (kind := urls.scheme(url)) not in urls.IN_MEMORY:
        return None
    module = import_module("persistence.vector.memory")
    storage = module.FileStorage(urls.folder(url), _file_policy(config)) if kind == "file" else module.Storage()
    store: VectorStore = module.MemoryStore(storage)
    return store


def _format(config: PersistenceConfig, environ: Mapping[str, str]) -> int | None:
    """Return the version of the files' format, for a truth that has no schema: opening its files upgrades them."""
    if urls.scheme(urls.vector_source(config, environ).url.get_secret_value()) not in urls.IN_MEMORY:
        return None
    version: int = import_module("persistence.vector.memory").FORMAT
    return version


async def _upgrade_files(given: Given, config: PersistenceConfig, environ: Mapping[str, str]) -> tuple[int, int]:
    embedder, store = given.embedder or make_embedder(config), await make_vector(config, environ)
    try:
        info = await store.open(model=embedder.model, dimension=embedder.dimension)
    finally:
        await store.close()
        await embedder.close()
    return info.schema_version, info.schema_version


def _file_policy(config: PersistenceConfig) -> FilePolicy:
    return FilePolicy(
        fsync=config.file_fsync,
        fsync_every=config.file_fsync_every,
        persist_every=config.file_persist_every,
        backups=config.file_backups,
    )


async def _embedded_url(config: PersistenceConfig) -> str:
    local = _adapter("persistence.local", "embedded")
    url: str = await local.ensure_postgres(config.home.expanduser())
    return url


async def make_graph(config: PersistenceConfig, environ: Mapping[str, str]) -> GraphStore | None:
    """Make the graph's adapter, starting the embedded server where the graph is there; None for ``none://``."""
    url = urls.graph_source(config, environ).url.get_secret_value()
    kind = urls.scheme(url)
    if kind == "none":
        return None
    if kind == "memory":
        memory: GraphStore = import_module("persistence.graph.memory").MemoryGraph()
        return memory
    if kind == "file":
        module = import_module("persistence.graph.memory")
        filed: GraphStore = module.FileGraph(urls.folder(url), _file_policy(config))
        return filed
    if kind in GRAPH_SCHEMES:
        module = _adapter("persistence.graph.neo4j", "neo4j")
        store: GraphStore = module.Neo4jGraph(url, pool_size=config.pool_size, connect_timeout=config.connect_timeout)
        return store
    if (place := await graph_on_postgres(config, environ)) is not None:
        module = _adapter("persistence.graph.postgres", "pgvector")
        tables: GraphStore = module.PostgresGraph(
            place.url, schema=place.schema, pool_size=config.pool_size, connect_timeout=config.connect_timeout
        )
        return tables
    raise ConfigurationError(
        f"{urls.mask(url)} names no graph store of this version.",
        hint="use neo4j://…, postgresql://…, embedded://, file:///folder, memory:// or none://",
    )


async def graph_on_postgres(config: PersistenceConfig, environ: Mapping[str, str]) -> Place | None:
    """Return where the graph's tables are; None where the graph is not on PostgreSQL. Starts the embedded server."""
    url = urls.graph_source(config, environ).url.get_secret_value()
    kind = urls.scheme(url)
    schema = f"{config.schema_name[:LONGEST_NAME]}_graph"
    if kind in urls.POSTGRES_SCHEMES:
        return Place(url, schema)
    if kind != "embedded":
        return None
    server = await _embedded_url(config)
    module = _adapter("persistence.graph.postgres", "embedded")
    return Place(await module.ensure_database(server, GRAPH_DATABASE, connect_timeout=config.connect_timeout), schema)


def make_embedder(config: PersistenceConfig) -> Embedder:
    """Make the embedder of the settings: an endpoint, or feature hashing where none is set."""
    if config.embedding_url is None:
        hashing: Embedder = import_module("persistence.embedding.hashing").HashingEmbedder(config.embedding_dimension)
        return hashing
    if config.embedding_model is None:
        raise ConfigurationError("An embedding endpoint is set, but no model.", hint="set DIPTYCH_EMBEDDING_MODEL")
    openai: Embedder = _adapter("persistence.embedding.openai", "openai").OpenAIEmbedder(
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
    openai: Extractor = _adapter("persistence.extraction.openai", "openai").OpenAIExtractor(
        config.extraction_url, config.extraction_model, config.extraction_api_key
    )
    return openai


def _adapter(module: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("persistence", "sync", "api"):
            raise
        raise ConfigurationError(
            f"The library {error.name} is not installed.", hint=f'pip install "diptych[{extra}]"'
        ) from error


async def adopt_graph(given: Given, environ: Mapping[str, str]) -> int | None:
    """Make the configured graph the graph of the configured truth, and list everything in the outbox for it.

    Returns how many entries are pending, None where that could not be counted.
    """
    config, adapters = await build(given, environ)
    quiet = config.model_copy(update={"enable_relay": False, "graph_required": True})
    parts = await assemble(adapters, quiet, adopt_graph=True)
    try:
        return (await parts.relay.report()).pending
    finally:
        await parts.close()
