"""What is released, built once a session."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: The time that the files of a build bear: any will do, as long as two builds have the same.
EPOCH = "1700000000"


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an sdist of the tree, and of the wheel that was built of that sdist."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder)
    return folder


def build(tree: Path, into: Path, **options: Any) -> None:
    """Build an sdist of a tree, and a wheel of that, by what is installed here."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(tree)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **options.pop("env", {})}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, **options)
    assert done.returncode == 0, done.stdout + done.stderr
