"""The image: what goes into it, what it is, and its steps in a plain folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import PRODUCTION, ROOT, loaded
from tests.deploy.dockerfile import Folder, context, stages, words

STAGES = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
RUNTIME = STAGES["runtime"]
LOCK = ROOT / "deploy" / "image" / "requirements.lock"


def locked(path: Path) -> dict[str, frozenset[str]]:
    """Return what a lock file pins, each with its hashes; where it is wanted depends on what else is."""
    pins = re.findall(
        r"^(\S+==[^\\\s;]+)[^\\\n]*\\\n((?:    --hash=\S+.*\n?)+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: frozenset(re.findall(r"sha256:\w+", hashes)) for name, hashes in pins}


def test_stages():
    """The images are pinned to the patch; the runtime begins anew, with nothing but what was installed."""
    assert all(re.search(r":\d+\.\d+\.\d+-", stage.base) for stage in STAGES.values() if stage.base not in STAGES)
    assert RUNTIME.base not in STAGES
    assert RUNTIME.all("COPY") == ["--from=build /opt/diptych /opt/diptych"]
    services = {loaded(ROOT / name)["services"][service]["build"]["target"] for name, service in TARGETS}
    assert services <= set(STAGES)


TARGETS = ((PRODUCTION.name, "api"), ("docker-compose.dev.yml", "service"))


def test_the_user():
    """It runs as the user that Compose names, in folders of that user's."""
    assert RUNTIME.all("USER") == [loaded(PRODUCTION)["x-diptych"]["user"]]
    (made,) = RUNTIME.all("RUN")
    for mounted in ("/var/lib/diptych/keys", "/backups"):
        assert mounted in made


def test_the_health_check():
    """Its health is what `diptych doctor` finds."""
    (said,) = RUNTIME.all("HEALTHCHECK")
    assert words(said) == ["diptych", "doctor"]
    assert words(RUNTIME.all("ENTRYPOINT")[0]) == ["diptych"]


def test_no_secret_goes_in():
    """No step takes a build argument or sets a secret, and the engine is sent the source alone."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"^ARG|PASSWORD|SECRET|TOKEN|API_KEY", text, re.MULTILINE)


def test_what_the_engine_is_sent(tmp_path: Path):
    """Secrets, settings, history and tests stay outside, wherever they lie; what the steps copy is sent."""
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    inside = ("pyproject.toml", "README.md", "LICENSE", "api/__init__.py", "deploy/image/requirements.lock")
    outside = (
        ".env",
        "secrets/vector_url",
        ".git/config",
        "tests/x.py",
        "api/__pycache__/x.pyc",
        "deploy/nginx/nginx.conf",
    )
    for name in (*inside, *outside):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {path.relative_to(tmp_path).as_posix() for path in context(tmp_path)} == set(inside)


def test_its_lock_is_part_of_the_lock():
    """What the image installs is pinned as in requirements.lock, by version and hash."""
    ours, whole = locked(LOCK), locked(ROOT / "requirements.lock")
    assert len(ours) > 40
    assert {name: whole.get(name) for name in ours} == ours
    assert not {name for name in ours if name.startswith(("pytest", "ruff", "mypy", "pixeltable"))}


@pytest.mark.long
def test_the_steps_in_a_plain_folder(tmp_path: Path):
    """The stages' steps, run in a folder, make an installation that answers, without pip, tests and caches in it."""
    sent = tmp_path / "sent"
    for path in context(ROOT):
        goal = sent / path.relative_to(ROOT)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, goal)
    Folder(tmp_path, sent).run(STAGES["build"])
    made = tmp_path / "opt" / "diptych"
    environment = {"PATH": "/usr/bin:/bin", "DIPTYCH_HOME": str(tmp_path), "DIPTYCH_VECTOR_URL": "memory://"}

    def run(*said: str) -> subprocess.CompletedProcess[str]:
        command = [made / "bin" / said[0], *said[1:]]
        return subprocess.run(command, env=environment, cwd="/", check=False, capture_output=True, text=True)

    assert run("diptych", "--version").returncode == 0
    assert run(*words(RUNTIME.all("HEALTHCHECK")[0])).returncode == 0
    imports = (
        "import api.http, api.mcp, redis, opentelemetry.sdk, cryptography, zstandard, neo4j, psycopg, qdrant_client"
    )
    assert run("python", "-c", imports).returncode == 0
    assert run("python", "-c", "import pip").returncode == 1
    assert not list(made.rglob("tests/deploy"))
