"""No file and no socket left to open: in a process of its own, by RLIMIT_NOFILE."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stores import Stores


def limited(stores: Stores, work: str, **task: Any) -> dict[str, Any]:
    """Run the limited process to its end; return what it says."""
    said = {"work": work, "kind": type(stores).__name__, "stores": asdict(stores), **task}
    command = [sys.executable, "-m", "tests.faults.resources.limited", json.dumps(said)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root, timeout=1_500)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.splitlines()[-1])


PAIRS = [
    "pgvector+postgres",
    pytest.param("pgvector+neo4j", marks=pytest.mark.faults),
    pytest.param("sqlite+postgres", marks=pytest.mark.faults),
]


@pytest.mark.parametrize("stores", PAIRS, indirect=True)
async def test_no_file_left_to_open(stores: Stores) -> None:
    """Open connections go on; what needs a new one says what to do, retryable; with files again all goes on."""
    said = await asyncio.to_thread(limited, stores, "files")
    for one in [*said["kept"], *said["lost"]]:
        if "error" in one:
            assert one["retryable"], one
            assert one["hint"], one
            assert one["message"].endswith("."), one
    assert said["after"] == {"found": 0, "in_step": True}
    assert (said["there"][1], said["there"][4]) == (True, True)
    assert said["there"][2] == ("error" not in said["kept"][0])
