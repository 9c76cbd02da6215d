"""What each backend can do: of the pair that is configured, for `doctor`, and of all of them, for the reference.

``python -m api.cli._capabilities docs/reference/capabilities.md`` writes it anew into that file, behind ``MARKER``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.text import Text

from api.cli._output import Output, one_line
from api.cli._show import FAINT
from api.cli.syncing.show import new_table
from persistence import factory
from persistence.backends import graph_backend, vector_backend
from persistence.ports.capabilities import GUARANTEES, OF_GRAPHS, Capability
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig
from persistence.urls import EMBEDDED, graph_source, vector_source

MARKER = "<!-- from here on made by `python -m api.cli._capabilities` -->\n"
#: One URL for each of our backends. Nothing is opened there.
VECTOR_URLS = (
    "postgresql://localhost/diptych",
    "qdrant://localhost",
    "qdrant:///diptych",
    "sqlite:///diptych.db",
    "file:///diptych",
    "memory://",
)
GRAPH_URLS = ("neo4j://localhost", "postgresql://localhost/diptych", "file:///diptych", "memory://")

Able = Mapping[str, frozenset[Capability]]
_HAS, _LACKS, _CANNOT_BE_SAID = "yes", "no", "-"


async def configured(config: PersistenceConfig) -> tuple[VectorStore, GraphStore | None]:
    """Return both adapters of the settings, not opened: what they can do is known before."""
    sources = {"vector_url": vector_source(config, os.environ), "graph_url": graph_source(config, os.environ)}
    asked = config.model_copy(update={name: _unstarted(source.url) for name, source in sources.items()})
    return await factory.make_vector(asked, os.environ), await factory.make_graph(asked, os.environ)


def _unstarted(url: SecretStr) -> SecretStr:
    """Return a URL that starts no server when its adapter is made; the embedded one is a PostgreSQL like any other."""
    return SecretStr("postgresql://") if url.get_secret_value() == EMBEDDED else url


def as_json(vector: VectorStore, graph: GraphStore | None) -> dict[str, Any]:
    """Return what the pair can do; of a graph null is what cannot be said of graphs."""
    return {
        "vector": {"kind": vector.kind, "capabilities": _flags(vector.capabilities, frozenset(Capability))},
        "graph": graph and {"kind": graph.kind, "capabilities": _flags(graph.capabilities, OF_GRAPHS)},
        "meaning": {
            one.value: {"promise": one.promise, "without": one.without, "guarantee": one in GUARANTEES}
            for one in Capability
        },
    }


def _flags(has: frozenset[Capability], asked: frozenset[Capability]) -> dict[str, bool | None]:
    return {one.value: one in has if one in asked else None for one in Capability}


def show(output: Output, vector: VectorStore, graph: GraphStore | None) -> None:
    """Print what the pair can do, and what follows where it cannot."""
    columns = {f"truth: {one_line(vector.kind)}": (vector.capabilities, frozenset(Capability))}
    if graph is not None:
        columns[f"graph: {one_line(graph.kind)}"] = (graph.capabilities, OF_GRAPHS)
    table = new_table("capability", *columns)
    for one in Capability:
        table.add_row(Text(one), *(Text(_word(one, *column)) for column in columns.values()))
    output.table(table)
    for one in Capability:
        if any(one in asked - has for has, asked in columns.values()):
            output.line(Text.assemble("Without ", (one, FAINT), f": {one.without}"))


def _word(one: Capability, has: frozenset[Capability], asked: frozenset[Capability]) -> str:
    if one not in asked:
        return _CANNOT_BE_SAID
    return _HAS if one in has else _LACKS


async def reference() -> str:
    """Return the tables of all of our backends, in Markdown."""
    config = PersistenceConfig()
    vectors = [await vector_backend(url).make(url, config) for url in VECTOR_URLS]
    graphs = [await graph_backend(url).make(url, config) for url in GRAPH_URLS]
    truths = _table("truth", frozenset(Capability), {store.kind: store.capabilities for store in vectors})
    beside = _table("graph", OF_GRAPHS, {store.kind: store.capabilities for store in graphs})
    return "\n".join((*truths, "", *beside, "", *_meanings(), ""))


def _table(side: str, asked: frozenset[Capability], able: Able) -> Iterator[str]:
    yield _row([side, *able])
    yield _row(["---"] * (len(able) + 1))
    for one in Capability:
        if one in asked:
            yield _row([f"`{one}`", *(_word(one, has, asked) for has in able.values())])


def _meanings() -> Iterator[str]:
    yield _row(["capability", "with it", "without it", "its absence is told at `connect()`"])
    yield _row(["---"] * 4)
    for one in Capability:
        without = one.without[0].upper() + one.without[1:]
        yield _row([f"`{one}`", one.promise, without, _HAS if one in GUARANTEES else "no: it costs speed alone"])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


async def renewed(page: str) -> str:
    """Return a page with what stands behind the marker made anew."""
    return page.partition(MARKER)[0] + MARKER + "\n" + await reference()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(asyncio.run(renewed(path.read_text(encoding="utf-8"))), encoding="utf-8")
