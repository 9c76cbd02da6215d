"""A process that writes into a SQLite file: ``python -m tests.integration.sqlite_child PATH NAME SEED COUNT``.

It says on stdout, a JSON line each, what was acknowledged: the id, the version, and the content (null: deleted). With
COUNT 0 it goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
from typing import Any

from persistence.ports.vector import WriteReceipt
from persistence.vector.sqlite import SqliteStore
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, settlement

#: Few, so that memories are replaced, deleted and stored again.
IDS = 40


def _say(memory_id: str, receipt: WriteReceipt, content: str | None) -> None:
    os.write(1, f"{json.dumps([memory_id, receipt.version, content])}\n".encode())


async def _step(store: SqliteStore, name: str, rng: random.Random, number: int) -> None:
    """Delete one memory, write many, or write one; now and then settle what is due."""
    chosen, content = [f"{name}{n}" for n in rng.sample(range(IDS), 8)], f"{name} {number}"
    kind = rng.random()
    if kind < 0.2:
        for one, receipt in zip(chosen[:1], await store.delete_many([a_delete(chosen[0])], AT_ONCE), strict=True):
            if receipt.version is not None:
                _say(one, receipt, None)
    elif kind < 0.5:
        receipts = await store.write_many([a_write(one, content=content) for one in chosen], AT_ONCE)
        for one, receipt in zip(chosen, receipts, strict=True):
            _say(one, receipt, content)
    else:
        _say(chosen[0], await store.write(a_write(chosen[0], content=content), AT_ONCE), content)
    if kind > 0.9:
        await store.settle([settlement(entry) for entry in await store.claim(limit=5, lease=60)])


async def main(path: str, name: str, seed: int, count: int) -> None:
    """Write, and say so."""
    rng, store = random.Random(seed), SqliteStore(path)
    try:
        await store.open(model="test", dimension=DIMENSION)
        steps: Any = range(count) if count else itertools.count()
        for number in steps:
            await _step(store, name, rng, number)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
