from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.cli.configuring.envfile import read_env
from persistence.local import PostgresServer
from tests.conftest import POSTGRES_OPTIONS, installed, missing, started
from tests.deploy import compose, stage

NAME = "memories.example.org"
PROGRAMS = {"nginx": "nginx-light", "redis-server": "redis-server", "setpriv": "util-linux", "curl": "curl"}
#: In the order in which what they wait for is there.
STARTED = ("redis", "api", "worker", "backup", "nginx")


def program(name: str) -> str:
    """Return where a program of Debian's is; install it where it is not, or skip the test."""
    if shutil.which(name) is None and (why := installed(PROGRAMS[name])):
        missing(why)
    return str(shutil.which(name))


class Host:
    """The machine of somebody who follows docs/how-to/deploy.md, with services on a stage in the place of an engine."""

    def __init__(self, checkout: Path, folder: Path, doors: dict[int, str]) -> None:
        self.checkout = checkout
        self.folder = folder
        self.doors = doors
        self.stage: stage.Stage | None = None
        self.key = ""
        self.postgres = ""
        self.programs = folder / "bin"
        self.programs.mkdir()

    def run(self, line: str) -> str:
        """Run a line of the page in the checkout, and return what it prints."""
        environment = {
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
        }
        ran = subprocess.run(
            ["sh", "-c", line],
            cwd=self.checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    @contextmanager
    def staged(self) -> Iterator[stage.Stage]:
        """Have the network that the settings ask for, and `docker compose run` and `exec` lead there."""
        stack = compose.put_in(compose.loaded(self.checkout / compose.PRODUCTION.name), read_env(self.checkout))
        self.stage = stage.Stage(stack, self.checkout, self.folder)
        with self.stage.network(self.doors, {"https": 8443, "http": 8080, "worker": 8766}):
            for name in stack["services"]:
                if "command" in stack["services"][name]:
                    self._lend(f"docker-run-{name}", self.stage.argv(name, []))
                    self._lend(f"docker-exec-{name}", self.stage.entering(name))
            self._lend("docker", [sys.executable, str(Path(__file__).with_name("engine.py"))])
            there = ["--connect-to", f"{NAME}:443:127.0.0.1:8443"]
            self._lend("curl", [*self.stage.network_words(), str(shutil.which("curl")), "--silent", *there])
            yield self.stage

    def _lend(self, name: str, words: list[str]) -> None:
        path = self.programs / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, neo4j_server) -> Iterator[Host]:
    """Give the machine, with real databases that the stack's names lead to, and nothing made yet."""
    if why := stage.reason():
        missing(why)
    for name in PROGRAMS:
        program(name)
    folder = tmp_path_factory.mktemp("stage")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # services are users of their own
    (folder / "checkout").mkdir()
    options = {**POSTGRES_OPTIONS, "listen_addresses": "127.0.0.1"}  # there it asks for the password
    with started(lambda place: PostgresServer(place, options=options)) as server:
        doors = {5432: f"127.0.0.1:{server.server.port}", 7687: urlsplit(neo4j_server.url).netloc.rpartition("@")[2]}
        made = Host(stage.copied(folder / "checkout"), folder, doors)
        made.postgres = server.url
        yield made
