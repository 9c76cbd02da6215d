"""A process that writes and is killed at a named point: ``python -m tests.faults.child JSON``, run by test_kill.py.

It says on stdout, line by line, how many items truth has acknowledged, and kills itself (SIGKILL) where it was told to:
so nothing of it is flushed, closed or rolled back.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from persistence import AsyncPersistenceService, GraphUnavailableError, Progress
from tests.faults.proxies import Hook, Hooked, failing
from tests.faults.stores import Stores, draft

ITEMS, BATCH = 100, 20


def _die_at(call: int) -> Hook:
    def hook(number: int) -> None:
        if number == call:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _report(progress: Progress) -> None:
    os.write(1, f"{progress.done}\n".encode())


async def _store_many(memories: AsyncPersistenceService, user_id: str) -> None:
    drafts = [draft(number, user_id=user_id) for number in range(ITEMS)]
    await memories.store_many(drafts, progress=_report, timeout=1.0)


async def _store(memories: AsyncPersistenceService, user_id: str) -> None:
    await memories.store(**draft(7, user_id=user_id), timeout=1.0)


async def _update(memories: AsyncPersistenceService, user_id: str) -> None:
    changed = draft(99)
    parts = {"entities": changed["entities"], "relationships": changed["relationships"]}
    await memories.update("m0001", user_id=user_id, content="changed", **parts, timeout=1.0)


async def _delete(memories: AsyncPersistenceService, user_id: str) -> None:
    await memories.delete("m0001", user_id=user_id, timeout=1.0)


async def _delete_all(memories: AsyncPersistenceService, user_id: str) -> None:
    await memories.delete_all(user_id=user_id, timeout=1.0)


WORK = {
    "store_many": _store_many,
    "store": _store,
    "update": _update,
    "delete": _delete,
    "delete_all": _delete_all,
}


async def main(task: dict[str, Any]) -> None:
    """Do the task's work on its stores, and die at its point."""
    stores = Stores(**task["stores"])
    adapters = {"vector": Hooked(stores.vector()), "graph": Hooked(stores.graph())}
    store, moment, method, number = task["point"]
    if task["rollback"]:
        adapters["graph"].before["apply"] = failing(GraphUnavailableError())
    getattr(adapters[store], moment)[method] = _die_at(number)
    settings = {"batch_size": BATCH, "settle_batch": BATCH, "rollback_on_partial_failure": task["rollback"]}
    async with stores.service(vector=adapters["vector"], graph=adapters["graph"], **settings) as memories:
        await WORK[task["work"]](memories, task["user_id"])


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
