"""A process that writes into a folder of Qdrant's engine: ``python -m tests.integration.qdrant_child FOLDER SEED``.

It says a line before it opens the folder; then, a JSON line each, what was acknowledged: the id, the version, and the
content (null: deleted). It goes on until it is killed. With SEED ``-N`` it kills itself where the engine has made N
things while the collections are being made.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from persistence.ports.vector import WriteReceipt
from persistence.vector.qdrant import QdrantStore, edge_folder
from persistence.vector.qdrant.embedded import EmbeddedEngine
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, settlement

#: Few, so that memories are replaced, deleted and stored again.
IDS = 40


def _say(memory_id: str, receipt: WriteReceipt, content: str | None) -> None:
    os.write(1, f"{json.dumps([memory_id, receipt.version, content])}\n".encode())


async def _step(store: QdrantStore, rng: random.Random, content: str) -> None:
    """Delete one memory, write many, or write one; now and then settle what is due."""
    chosen, kind = [f"{n}" for n in rng.sample(range(IDS), 8)], rng.random()
    if kind < 0.2:
        (receipt,) = await store.delete_many([a_delete(chosen[0])], AT_ONCE)
        if receipt.version is not None:
            _say(chosen[0], receipt, None)
    elif kind < 0.5:
        receipts = await store.write_many([a_write(one, content=content) for one in chosen], AT_ONCE)
        for one, receipt in zip(chosen, receipts, strict=True):
            _say(one, receipt, content)
    else:
        _say(chosen[0], await store.write(a_write(chosen[0], content=content), AT_ONCE), content)
    if kind > 0.9:
        await store.settle([settlement(entry) for entry in await store.claim(limit=5, lease=60)])


def _dying(call: Callable[..., Any], steps: itertools.count[int], last: int) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args)

    return counted


def _die_while_making(last: int) -> None:
    """Die before a collection is made, before it gets its name, or the same with the second one."""
    steps = itertools.count()
    edge_folder.create = _dying(edge_folder.create, steps, last)
    Path.rename = _dying(Path.rename, steps, last)  # type: ignore[method-assign]


async def main(folder: str, seed: str) -> None:
    """Write, and say so."""
    if seed.startswith("-"):
        _die_while_making(int(seed[1:]))
    rng, store = random.Random(seed), QdrantStore(EmbeddedEngine(Path(folder)))
    os.write(1, b"begin\n")
    try:
        await store.open(model="test", dimension=DIMENSION)
        for number in itertools.count():
            await _step(store, rng, f"{seed} {number}")
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
