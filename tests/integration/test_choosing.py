"""Looking at what is there, and choosing by it where a URL is `auto`."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from persistence import AsyncPersistenceService, PersistenceConfig, probe
from persistence.choosing import auto, settled
from persistence.errors import ConfigurationError
from persistence.results import Outcome


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port on which somebody takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """Return a port on which nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def config(home: Path, vector: str | None = "auto", graph: str | None = "auto") -> PersistenceConfig:
    return PersistenceConfig(vector_url=vector, graph_url=graph, home=home)


async def test_servers_that_answer(tmp_path: Path, port: int, closed: int) -> None:
    """A server that the settings or the environment name is known, and whether it takes connections."""
    environ = {"DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{port}/db", "NEO4J_URI": f"bolt://127.0.0.1:{closed}"}
    facts = await probe(config(tmp_path), environ)
    assert [(s.kind, s.origin, s.answers) for s in facts.servers] == [
        ("postgres", "DATABASE_URL", True),
        ("neo4j", "NEO4J_URI", False),
    ]
    assert {"pgvector", "neo4j"} <= facts.installed
    assert facts.ram_bytes > 0
    assert "secret" not in repr(facts)
    assert (await probe(config(tmp_path, "memory://", "none://"), {})).servers == ()


async def test_a_server_of_unix_sockets(tmp_path: Path) -> None:
    """A PostgreSQL behind a socket in a folder is found by libpq's variables."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5433"))
        listener.listen()
        for environ, answers in (({"PGPORT": "5433"}, True), ({}, False)):
            facts = await probe(config(tmp_path, None, "none://"), {"PGHOST": str(tmp_path), **environ})
            assert [(s.origin, s.answers) for s in facts.servers] == [("PGHOST", answers)]


@pytest.mark.parametrize("address", ["localhost:{port}", "127.0.0.1:{port},127.0.0.1:1", "?host=127.0.0.1&port={port}"])
async def test_addresses(tmp_path: Path, port: int, address: str) -> None:
    """A host may be one of several, or stand in the query."""
    facts = await probe(config(tmp_path, f"postgresql://{address.format(port=port)}", "none://"), {})
    assert [server.answers for server in facts.servers] == [True]


async def test_addresses_that_cannot_be_asked(tmp_path: Path) -> None:
    """A server of a service file is taken to be there; a port that is none is refused without a secret."""
    facts = await probe(config(tmp_path, None, "none://"), {"PGSERVICE": "mine"})
    assert [(server.origin, server.answers) for server in facts.servers] == [("PGSERVICE", True)]
    with pytest.raises(ConfigurationError) as caught:
        await probe(config(tmp_path, "postgresql://u:secret@h:x/db", "none://"), {})
    assert "secret" not in str(caught.value)


async def test_a_local_neo4j(tmp_path: Path, neo4j_server) -> None:
    """The Neo4j of `diptych local` is known while it runs, and `auto` takes it for the graph."""
    if not hasattr(neo4j_server, "server"):
        pytest.skip("Neo4j runs in a container here, not as a local server")
    (tmp_path / "neo4j").symlink_to(neo4j_server.server.folder)
    (found,) = (await probe(config(tmp_path, "memory://"), {})).servers
    assert (found.kind, found.url.get_secret_value()) == ("neo4j", neo4j_server.url)
    assert (await settled(config(tmp_path, "memory://"), {})).graph_url == found.url


@pytest.mark.parametrize(
    ("environ", "urls"),
    [
        ({"DATABASE_URL": "postgresql://db/app"}, (None, "postgresql://db/app")),
        ({"DATABASE_URL": "postgresql://db/app", "NEO4J_URI": "bolt://graph"}, (None, None)),
        ({"PGHOST": "db"}, (None, "postgresql://")),
    ],
)
async def test_the_environment_decides(tmp_path: Path, environ: dict[str, str], urls: tuple[str | None, ...]) -> None:
    """Where the environment names a server, it is the one, and a graph goes where truth is: None is left to it."""
    found = await settled(config(tmp_path), environ)
    assert tuple(url and url.get_secret_value() for url in (found.vector_url, found.graph_url)) == urls


async def test_what_is_kept_already_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truth that was begun in the folder of the settings stays the truth, whatever is installed afterwards."""
    monkeypatch.setattr(auto, "installed", frozenset)
    without = await settled(config(tmp_path), {})
    assert without.vector_url.get_secret_value() == f"sqlite:///{tmp_path}/truth.db"
    monkeypatch.setattr(auto, "installed", lambda: frozenset({"embedded", "pgvector"}))
    assert (await settled(config(tmp_path), {})).vector_url is None, "the embedded default"
    (tmp_path / "truth.db").touch()
    assert (await settled(config(tmp_path), {})).vector_url == without.vector_url
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    assert (await settled(config(tmp_path), {})).vector_url is None


@pytest.mark.parametrize(
    ("vector", "graph"), [("memory://", None), ("file:///tmp/x", "file:///tmp/x"), ("sqlite:///x.db", None)]
)
async def test_a_graph_beside_a_truth_that_is_named(tmp_path: Path, vector: str, graph: str | None) -> None:
    """A truth that is named keeps its URL; the graph is kept as truth is, or left to the default."""
    found = await settled(config(tmp_path, vector), {})
    assert found.vector_url.get_secret_value() == vector
    assert (found.graph_url and found.graph_url.get_secret_value()) == graph


async def test_connect_with_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`auto` opens what is there, makes the folder where it keeps it, and says in the log which and why."""
    monkeypatch.setattr(auto, "installed", frozenset)
    for name in ("DATABASE_URL", "PGHOST", "PGSERVICE", "POSTGRES_HOST", "QDRANT_URL", "NEO4J_URI"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.INFO, logger="diptych.choosing")
    settings = PersistenceConfig(home=tmp_path / "home")
    async with AsyncPersistenceService.connect(vector="auto", graph="auto", config=settings) as memories:
        assert (await memories.store("Ada", user_id="u", entities=[], relationships=[])).outcome is Outcome.IN_STEP
        health = await memories.get_health()
    assert (health.vector.kind, health.graph.kind) == ("sqlite", "memory")
    truth, graph = [record.getMessage() for record in caplog.records if record.name == "diptych.choosing"]
    assert truth.startswith(f"vector_url is auto: sqlite:///{tmp_path}/home/truth.db, because no server is named")
    assert graph == "graph_url is auto: memory://, because no graph server is named or runs here."


@pytest.mark.parametrize(
    ("vector", "graph", "told"),
    [
        ("memory://", "memory://", [("memory", "durable"), ("memory", "durable")]),
        ("memory://", "none://", [("memory", "durable")]),
        ("file", "file", [("file", "shared"), ("file", "shared")]),
        ("sqlite", "none://", []),
    ],
)
async def test_missing_guarantees_are_told_at_opening(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, vector: str, graph: str, told: list[tuple[str, str]]
) -> None:
    """Opening a service warns once of each guarantee that its stores lack, and not of what costs speed alone."""
    known = {"file": tmp_path.as_uri(), "sqlite": f"sqlite:///{tmp_path}/truth.db"}
    async with AsyncPersistenceService.connect(vector=known.get(vector, vector), graph=known.get(graph, graph)):
        pass
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [(record.store, record.capability) for record in warnings] == told
    assert all("lacks" in record.getMessage() for record in warnings)
