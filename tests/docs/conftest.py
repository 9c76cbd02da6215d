"""What a page of the documentation runs on: a folder, an environment and stores that are its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import psycopg
import pytest
from psycopg import sql

from tests.conftest import installed, missing, watched
from tests.docs import forking
from tests.docs.blocks import ROOT, blocks
from tests.docs.running import Page

NEO4J = ("neo4j://neo4j:secret@graph:7687/neo4j", "neo4j://neo4j:password@localhost", "neo4j://…")
POSTGRES = ("postgresql://app@db/app", "postgresql://localhost/app", "postgresql://…")
EMBEDDED = {"docs/tutorial.md"}
FOLDERS = ("/backups", "/var/log", "/run/secrets")
PORTS = ("8765", "8766")


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """Give the folder of a `diptych` that is a fork of a warm process."""
    with tempfile.TemporaryDirectory(prefix="diptych-docs-") as name:
        folder = Path(name)
        at = folder / "socket"
        program = folder / "bin" / "diptych"
        program.parent.mkdir()
        program.write_text(forking.CLIENT.format(python=sys.executable, path=str(at)), "utf-8")
        program.chmod(0o755)
        with _listening(at):
            yield program.parent


@contextmanager
def _listening(at: Path) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", forking.__file__, str(at)]
    # Pipes: what a stream can do is asked once, before the fork, and shells connect pipes.
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environment) as warm:
        assert warm.stdout is not None
        assert warm.stdout.readline(), "the warm process ended"
        try:
            yield
        finally:
            warm.terminate()


@pytest.fixture
def schema(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a schema for the page's truth; it and the one of the page's graph are gone afterwards."""
    name = f"docs_{hashlib.blake2b(request.node.name.encode(), digest_size=6).hexdigest()}_{os.getpid()}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True, connect_timeout=10) as connection:
        for one in (name, f"{name}_graph"):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(one)))


@pytest.fixture
def environment(page: str, tmp_path: Path, programs: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Give the environment: both stores on PostgreSQL, nothing of whoever runs the tests.

    A page about the embedded stores gets no URL, and a server of its own that ends with it.
    """
    common = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "COLUMNS": "120",
        "DIPTYCH_HOME": str(tmp_path / "home"),
    }
    if page in EMBEDDED:
        with watched(tmp_path / "home" / "postgres"):
            yield common
        return
    url = request.getfixturevalue("postgres_url")
    schema = request.getfixturevalue("schema")
    yield {**common, "DIPTYCH_VECTOR_URL": url, "DIPTYCH_GRAPH_URL": url, "DIPTYCH_SCHEMA_NAME": schema}


@pytest.fixture
def places(page: str, request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> dict[str, str]:
    """Give what stands for the page's examples; a Neo4j is started only for a page that names one."""
    wants_curl = any("$ curl " in block.text for block in blocks(page))
    if wants_curl and shutil.which("curl") is None and (why := installed("curl")):
        missing(f"The page's commands need curl. {why}")
    for folder in FOLDERS:
        (tmp_path / folder[1:]).mkdir(parents=True)
    found = {
        **dict.fromkeys(POSTGRES, postgres_url.removesuffix("&port=5432")),  # which a shell would take for its own
        **{folder: str(tmp_path / folder[1:]) for folder in FOLDERS},
        **{port: str(_free_port()) for port in PORTS},
    }
    if any(name in block.text for block in blocks(page) if not block.why_not for name in NEO4J):
        found |= dict.fromkeys(NEO4J, request.getfixturevalue("clean_neo4j"))
    return found


@pytest.fixture
def running(
    tmp_path: Path, places: dict[str, str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    """Give the page, ready to run its blocks."""
    environment = {**environment, "DIPTYCH_API_PORT": places["8765"]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.chdir(folder)
    with Page(folder, environment, places) as page:
        yield page


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
