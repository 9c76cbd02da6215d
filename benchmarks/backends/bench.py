"""All backends, one after another: which there are, and what each is measured against."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import neo4j

from benchmarks.backends import graph, truth
from benchmarks.backends.graph import Graph
from benchmarks.backends.graphs import memory as graphs_memory
from benchmarks.backends.graphs import servers as graphs
from benchmarks.backends.graphs.side import Adapter as GraphAdapter
from benchmarks.backends.truth import Sizes, Truth
from benchmarks.backends.truths import memory, postgres, qdrant, sqlite
from benchmarks.backends.truths.side import Adapter
from benchmarks.results import Section
from benchmarks.servers import Urls
from persistence.graph.memory import FileGraph, MemoryGraph
from persistence.graph.neo4j import Neo4jGraph
from persistence.vector.memory import FileStorage, MemoryStore
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.sqlite import SqliteStore

#: What writes to Qdrant and to SQLite may take, beside the raw client.
BOUND = 1.3
SCHEMA = "bench_backend"
SERVER_URLS = ("DIPTYCH_TEST_QDRANT_URL", "QDRANT_URL")


class Backend(StrEnum):
    """What can be measured: vector stores, then graph stores."""

    PGVECTOR = "pgvector"
    SQLITE = "sqlite"
    QDRANT_EMBEDDED = "qdrant-embedded"
    QDRANT_SERVER = "qdrant-server"
    MEMORY = "memory"
    FILE = "file"
    NEO4J_GRAPH = "neo4j-graph"
    POSTGRES_GRAPH = "postgres-graph"
    MEMORY_GRAPH = "memory-graph"
    FILE_GRAPH = "file-graph"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the backends are. ``folder``: for those in files; ``driver`` None: Neo4j is not measured."""

    urls: Urls
    driver: neo4j.AsyncDriver | None
    folder: Path


async def measure(
    backends: Sequence[Backend],
    urls: Urls,
    driver: neo4j.AsyncDriver | None,
    sizes: Sizes,
    seed: int,
    say: Callable[[str], None],
) -> AsyncIterator[Section]:
    """Measure those that are there; of a server that is not, a section says so."""
    async with AsyncExitStack() as stack:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="diptych-bench-"))
        stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
        for backend in backends:
            section = await _measured(backend, Stage(urls, driver, folder), sizes, seed, say)
            section.notes.append(f"load of the machine in the last minute: {os.getloadavg()[0]:.1f}")
            yield section


async def _measured(backend: Backend, stage: Stage, sizes: Sizes, seed: int, say: Callable[[str], None]) -> Section:
    found = _GRAPHS[backend](stage) if backend in _GRAPHS else _TRUTHS[backend](stage)
    if isinstance(found, Truth):
        return await truth.measure(found, sizes, seed, say)
    if isinstance(found, Graph):
        return await graph.measure(found, sizes, seed, say)
    return Section(f"backend {backend}", f"{backend}: not measured", notes=[found])


# --- vector stores ----------------------------------------------------------------------------------------------------


def _pgvector(stage: Stage) -> Truth:
    url = stage.urls.postgres
    ours = postgres.PostgresAdapter(url, f"{SCHEMA}_ours")
    return Truth("pgvector", ours, postgres.RawPostgres(url, f"{SCHEMA}_raw"))


def _sqlite(stage: Stage) -> Truth:
    ours = Adapter(SqliteStore(stage.folder / "ours.db"))
    return Truth("SQLite", ours, sqlite.RawSqlite(stage.folder / "raw.db"), BOUND)


def _qdrant_embedded(stage: Stage) -> Truth:
    ours = Adapter(QdrantStore(EmbeddedEngine(stage.folder / "qdrant-ours")))
    return Truth("Qdrant embedded", ours, qdrant.RawEdge(stage.folder / "qdrant-raw"), BOUND)


def _qdrant_server(_: Stage) -> Truth | str:
    url = next((os.environ[name] for name in SERVER_URLS if os.environ.get(name)), None)
    if url is None:
        return f"No server is named by {' or '.join(SERVER_URLS)}, so Qdrant as a server was not measured."
    connect = qdrant.connect_to(url, os.environ.get("QDRANT_API_KEY"))
    mark = f"bench_{uuid.uuid4().hex[:8]}"
    ours, raw = qdrant.ServerAdapter(connect, f"{mark}_ours"), qdrant.RawServer(connect, f"{mark}_raw")
    return Truth("Qdrant server", ours, raw, BOUND)


def _memory(_: Stage) -> Truth:
    return Truth("memory", Adapter(MemoryStore()), memory.RawMemory())


def _file(stage: Stage) -> Truth:
    ours = Adapter(MemoryStore(FileStorage(stage.folder / "truth")))
    return Truth("file", ours, memory.RawFile(stage.folder / "truth.log"))


_TRUTHS: dict[Backend, Callable[[Stage], Truth | str]] = {
    Backend.PGVECTOR: _pgvector,
    Backend.SQLITE: _sqlite,
    Backend.QDRANT_EMBEDDED: _qdrant_embedded,
    Backend.QDRANT_SERVER: _qdrant_server,
    Backend.MEMORY: _memory,
    Backend.FILE: _file,
}

# --- graph stores -----------------------------------------------------------------------------------------------------


def _neo4j_graph(stage: Stage) -> Graph:
    if stage.driver is None or stage.urls.neo4j is None:
        raise RuntimeError("this part needs Neo4j")
    ours = GraphAdapter(Neo4jGraph(stage.urls.neo4j))
    return Graph("graph on Neo4j", ours, graphs.RawNeo4j(stage.urls.neo4j, stage.driver))


def _postgres_graph(stage: Stage) -> Graph:
    url = stage.urls.postgres
    ours = graphs.PostgresAdapter(url, f"{SCHEMA}_graph_ours")
    return Graph("graph on Postgres", ours, graphs.RawPostgres(url, f"{SCHEMA}_graph_raw"))


def _memory_graph(_: Stage) -> Graph:
    return Graph("graph in memory", GraphAdapter(MemoryGraph()), graphs_memory.RawMemory())


def _file_graph(stage: Stage) -> Graph:
    ours = GraphAdapter(FileGraph(stage.folder / "graph"))
    return Graph("graph in a file", ours, graphs_memory.RawFile(stage.folder / "graph.log"))


_GRAPHS: dict[Backend, Callable[[Stage], Graph]] = {
    Backend.NEO4J_GRAPH: _neo4j_graph,
    Backend.POSTGRES_GRAPH: _postgres_graph,
    Backend.MEMORY_GRAPH: _memory_graph,
    Backend.FILE_GRAPH: _file_graph,
}
