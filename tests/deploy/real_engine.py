"""The stack on a real engine, by the commands of docs/how-to/deploy.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.deploy.compose import ROOT
from tests.deploy.dockerfile import context
from tests.deploy.stage import copied

#: Seconds until every service is healthy, images and all.
PATIENCE = 900


def brought_up(folder: Path, lines: Iterable[str]) -> None:
    """Run the page's commands in a checkout of its own, wait until all is healthy where it starts, and take it down."""
    checkout = copied(folder)
    for path in context(ROOT):
        (checkout / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, checkout / path.relative_to(ROOT))
    try:
        for line in lines:
            if not line.startswith("diptych() "):
                _run(checkout, line.replace("curl ", "curl --connect-to ::127.0.0.1: "))
            if line.startswith("docker compose up"):
                _wait(checkout)
    finally:
        _run(checkout, "docker compose down --volumes --timeout 10")


def _run(checkout: Path, line: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"COMPOSE_PROJECT_NAME": "diptych-test"}
    ran = subprocess.run(["sh", "-c", line], cwd=checkout, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def _wait(checkout: Path) -> None:
    until = time.monotonic() + PATIENCE
    while states := set(_run(checkout, "docker compose ps --format '{{.Health}}'").split()) - {"healthy"}:
        assert time.monotonic() < until, (
            f"{states}\n{_run(checkout, 'docker compose ps; docker compose logs --tail 20')}"
        )
        time.sleep(1)
