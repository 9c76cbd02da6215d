"""The examples for LangChain and LlamaIndex, with their libraries.

They run in an environment of their own, for their libraries would hold back some that diptych stands on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.docs.blocks import ROOT, blocks

PAGE = "docs/how-to/agent-app.md"
SECONDS = 900


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the interpreter of an environment with diptych and both libraries."""
    folder = tmp_path_factory.mktemp("frameworks")
    uv = Path(sys.executable).with_name("uv")
    program = folder / "bin" / "python"
    for command in (
        ["venv", "-q", "--python", sys.executable, folder],
        ["pip", "install", "-q", "--python", program, "-e", ROOT, "--group", f"{ROOT}/pyproject.toml:frameworks"],
    ):
        ran = subprocess.run([uv, *command], check=False, capture_output=True, text=True, timeout=SECONDS)
        if ran.returncode:
            missing(f"The libraries cannot be installed: {ran.stderr.strip()[-300:]}")
    return program


@pytest.mark.long
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("library", "prints"), [("langchain-core", "Ada plays the violin.\n"), ("llama-index-core", "Ada keeps bees.\n")]
)
def test_an_example_runs_with_its_library(library, prints, python, tmp_path):
    """The block stores by the framework's own tool, and finds by its own retriever what was stored."""
    (block,) = [one for one in blocks(PAGE) if one.why_not and library in one.why_not]
    ran = subprocess.run(
        [python, "-c", block.text],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "DIPTYCH_VECTOR_URL": f"sqlite:///{tmp_path}/m.db",
            "DIPTYCH_GRAPH_URL": "memory://",
            "HOME": str(tmp_path),
        },
    )
    assert (ran.returncode, ran.stdout) == (0, prints), ran.stderr
