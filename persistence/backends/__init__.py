"""Backends: from the scheme of a URL to the adapter that it names.

Our own are modules of this package, imported when they are asked for, and their libraries with them. Others register
an entry point under the name of their scheme, in the group ``diptych.vector_stores`` or ``diptych.graph_stores``: a
callable that takes the URL and the settings and returns the store, not opened (docs/how-to/add-a-backend.md).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar, cast

from persistence.errors import ConfigurationError
from persistence.extras import is_foreign
from persistence.ports.graph import GraphStore
from persistence.ports.schema import Schema, SchemaState, Whole
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig
from persistence.urls import NEO4J_SCHEMES, mask, scheme

S = TypeVar("S")
#: What an entry point names.
Make = Callable[[str, PersistenceConfig], S | Awaitable[S]]

VECTOR_GROUP, GRAPH_GROUP = "diptych.vector_stores", "diptych.graph_stores"
#: By scheme: the module here, and the extra that installs its libraries.
VECTOR: Mapping[str, tuple[str, str]] = {
    "postgresql": ("pgvector", "pgvector"),
    "postgres": ("pgvector", "pgvector"),
    "embedded": ("pgvector", "embedded"),
    "qdrant": ("qdrant", "qdrant"),
    "qdrants": ("qdrant", "qdrant"),
    "sqlite": ("sqlite", ""),
    "file": ("memory", ""),
    "memory": ("memory", ""),
}
GRAPH: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(NEO4J_SCHEMES, ("neo4j", "neo4j")),
    "postgresql": ("postgres_graph", "pgvector"),
    "postgres": ("postgres_graph", "pgvector"),
    "embedded": ("postgres_graph", "embedded"),
    "file": ("memory_graph", ""),
    "memory": ("memory_graph", ""),
}
_SHOWN = {
    VECTOR_GROUP: "postgresql://…, qdrant://…, sqlite:///file.db, embedded://, file:///folder or memory://",
    GRAPH_GROUP: "neo4j://…, postgresql://…, embedded://, file:///folder, memory:// or none://",
}


class VectorBackend(Protocol):
    """A truth by its URL."""

    async def make(self, url: str, config: PersistenceConfig) -> VectorStore:
        """Make the adapter, not opened. Raises ConfigurationError."""
        ...

    async def schema(self, url: str, config: PersistenceConfig) -> Schema:
        """Return what looks at the tables and changes them."""
        ...


class GraphBackend(Protocol):
    """A graph by its URL. One whose tables grow by steps has ``schema``, as a truth has."""

    async def make(self, url: str, config: PersistenceConfig) -> GraphStore:
        """Make the adapter, not opened. Raises ConfigurationError."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """A truth that somebody else's package brings. It sees to its schema by itself; none of ours is needed."""

    entry: EntryPoint

    async def make(self, url: str, config: PersistenceConfig) -> VectorStore:
        store: VectorStore = await _made(self.entry, url, config)
        return store

    async def schema(self, url: str, config: PersistenceConfig) -> Schema:  # noqa: ARG002  # a backend's way to be asked
        return Whole(_nothing)


async def _nothing() -> SchemaState:
    return SchemaState(0, 0)


@dataclass(frozen=True, slots=True)
class RegisteredGraph:
    """A graph that somebody else's package brings."""

    entry: EntryPoint

    async def make(self, url: str, config: PersistenceConfig) -> GraphStore:
        store: GraphStore = await _made(self.entry, url, config)
        return store


def vector_backend(url: str) -> VectorBackend:
    """Return the backend of a truth. Raises ConfigurationError: the scheme is nobody's, or a library is missing."""
    if found := VECTOR.get(scheme(url)):
        return cast("VectorBackend", _own(*found))
    return Registered(_registered(VECTOR_GROUP, url))


def graph_backend(url: str) -> GraphBackend:
    """Return the backend of a graph. Raises ConfigurationError."""
    if found := GRAPH.get(scheme(url)):
        return cast("GraphBackend", _own(*found))
    return RegisteredGraph(_registered(GRAPH_GROUP, url))


async def graph_schema(url: str, config: PersistenceConfig) -> Schema | None:
    """Return what looks at the tables of a graph and changes them; None for one that has none of ours."""
    make = getattr(graph_backend(url), "schema", None)
    return None if make is None else cast("Schema", await make(url, config))


def adapter(module: str, extra: str) -> Any:
    """Import a module whose libraries an extra installs. Raises ConfigurationError where they are not there."""
    with installed(extra):
        return import_module(module)


@contextmanager
def installed(extra: str) -> Iterator[None]:
    """Say which extra is to be installed where a library is missing in the block. Raises ConfigurationError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_foreign(error):
            raise
        raise ConfigurationError(
            f"The library {error.name} is not installed.", hint=f'pip install "diptych[{extra}]"'
        ) from error


def _own(module: str, extra: str) -> Any:
    return adapter(f"{__name__}.{module}", extra)


def _registered(group: str, url: str) -> EntryPoint:
    for entry in entry_points(group=group, name=scheme(url)):
        return entry
    what = "vector" if group == VECTOR_GROUP else "graph"
    raise ConfigurationError(f"{mask(url)} names no {what} store of this version.", hint=f"use {_SHOWN[group]}")


async def _made(entry: EntryPoint, url: str, config: PersistenceConfig) -> Any:
    """Call what the entry point names; whatever is wrong with it, the user is told whose it is."""
    try:
        made = entry.load()(url, config)
    except (ImportError, AttributeError) as error:
        name = entry.dist.name if entry.dist else entry.value
        raise ConfigurationError(f"The backend {entry.name}:// of {name} cannot be loaded: {error}.") from error
    return await made if inspect.isawaitable(made) else made
