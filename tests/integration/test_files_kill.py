"""File stores whose process is killed in the middle of writing."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from persistence.graph.memory import FileGraph
from persistence.ports.outbox import Key
from persistence.vector.memory import FileStorage, MemoryStore
from tests.contract.vector.making import DIMENSION

CHILD = Path(__file__).with_name("files_child.py")
ROOT = CHILD.parents[2]


def killed_after(folder: Path, seed: int, lines: int) -> list[list[Any]]:
    """Let a process write until it has acknowledged so much, kill it, and return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.integration.files_child", str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    return [json.loads(line) for line in said if line.endswith("\n")]


async def check_truth(folder: Path, acknowledged: dict[str, list[Any]]) -> None:
    """Every acknowledged write is there, or a newer one, and what is there is listed in the outbox."""
    store = MemoryStore(FileStorage(folder))
    await store.open(model="test", dimension=DIMENSION)
    try:
        assert store.notices == ()
        keys = [Key("ada", memory_id) for memory_id in acknowledged]
        there, listed = await store.read(keys, embeddings=True), await store.pending(keys)
        for memory_id, (kind, version, *content) in acknowledged.items():
            truth = there[Key("ada", memory_id)]
            assert truth.version >= version
            assert listed[Key("ada", memory_id)].version == truth.version
            if truth.version == version:
                assert (truth.memory is not None) == (kind == "written")
                assert [truth.memory.content] == content if truth.memory else True
    finally:
        await store.close()


async def check_graph(folder: Path, acknowledged: dict[str, list[Any]]) -> None:
    """See that the graph has every version that it said to have."""
    graph = FileGraph(folder)
    await graph.open()
    try:
        assert graph.notices == ()
        there = await graph.read([Key("u1", memory_id) for memory_id in acknowledged])
        for memory_id, (version, digest) in acknowledged.items():
            memory = there[Key("u1", memory_id)]
            assert memory.version >= version
            assert memory.version > version or memory.digest == digest
    finally:
        await graph.close()


async def survive(folder: Path, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    truth: dict[str, list[Any]] = {}
    graph: dict[str, list[Any]] = {}
    for round_ in range(1, rounds + 1):
        for kind, *words in await asyncio.to_thread(killed_after, folder, round_, rng.randrange(2, 400)):
            if kind == "graph":
                graph[words[0]] = words[1:]
            elif kind != "open" and words[1] is not None:
                truth[words[0]] = [kind, *words[1:]]
        await check_truth(folder, truth)
        await check_graph(folder, graph)
    assert len(truth) > 20
    assert len(graph) > 10


@pytest.mark.long
async def test_killed_at_random(tmp_path: Path) -> None:
    """I1: of a process killed at random (seed 5, 10 rounds) no acknowledged write is lost, and no file unreadable."""
    await survive(tmp_path, 10, seed=5)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_killed_at_random_fifty_times(tmp_path: Path) -> None:
    """I1: the same in 50 rounds (seed 6)."""
    await survive(tmp_path, 50, seed=6)
