"""The installed command, run as a person runs it: in a process of its own, with nothing but what the test gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from neo4j import Driver, GraphDatabase

from tests import planted
from tests.acceptance.warm import Warm, warmed

EXECUTABLE = Path(sys.executable).with_name("diptych")
SECONDS = 60


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Command:
    """``diptych`` with an environment of its own; call it with arguments.

    With ``warm`` a call is a fork of a process that has imported everything, instead of the installed command.
    """

    environment: dict[str, str]
    folder: Path
    warm: Warm | None = None

    def __call__(self, *args: str, stdin: str | bytes | None = None, **environment: str) -> Ran:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        if self.warm is not None:
            code, out, err = self.warm.run(args, given, {**self.environment, **environment}, self.folder, SECONDS)
            return Ran(code, out.decode(), err.decode())
        done = subprocess.run(
            [EXECUTABLE, *args],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env={**self.environment, **environment},
            cwd=self.folder,
            timeout=SECONDS,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        planted.check(ran.out, ran.err)
        return ran

    def start(self, *args: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [EXECUTABLE, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environment, **environment},
            cwd=self.folder,
        )


@pytest.fixture
def bare(tmp_path: Path) -> Command:
    """Give the command without any store configured, in an empty folder and home."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "DIPTYCH_HOME": str(tmp_path / "home"),
    }
    return Command(environment, tmp_path)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Give the process that calls on real stores are forked from: importing takes longer than what they pin."""
    with warmed() as process:
        yield process


@pytest.fixture
def diptych(bare: Command, postgres_url: str, pg_schema: str, warm: Warm) -> Command:
    """Give the command on a real Postgres, in a schema of the test's own, without a graph."""
    bare.warm = warm
    bare.environment |= {
        "DIPTYCH_VECTOR_URL": postgres_url,
        "DIPTYCH_SCHEMA_NAME": pg_schema,
        "DIPTYCH_GRAPH_URL": "none://",
    }
    return bare


@pytest.fixture
def paired(diptych: Command, clean_neo4j: str) -> Command:
    """Give the command on a real Postgres and a real Neo4j."""
    diptych.environment |= {"DIPTYCH_GRAPH_URL": clean_neo4j}
    return diptych


@pytest.fixture
def graph(clean_neo4j: str) -> Iterator[Driver]:
    """Give a driver for the graph of `paired`, to look behind the command's back."""
    parts = urlsplit(clean_neo4j)
    where = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="").geturl()
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    with GraphDatabase.driver(where, auth=auth) as driver:
        yield driver
