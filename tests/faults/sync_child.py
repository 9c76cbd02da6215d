"""A process that repairs or rebuilds and is killed at a named point: ``python -m tests.faults.sync_child JSON``.

It says on stdout the run's id, and the memories of each batch that the graph took, a line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from sync import AsyncSyncService, Progress
from tests.faults.proxies import Hook, Hooked
from tests.faults.stores import Stores

BATCH = 50
#: Short, so that a test need not wait long until a dead process's run can be taken over.
LEASE = 1.0


def say(what: dict[str, Any]) -> None:
    """Write a line at once: what is buffered dies with the process."""
    os.write(1, (json.dumps(what) + "\n").encode())


def _die_at(call: int, then: Hook | None = None) -> Hook:
    def hook(number: int) -> None:
        if number == call:
            os.kill(os.getpid(), signal.SIGKILL)
        if then is not None:
            then(number)

    return hook


def _telling(graph: Hooked) -> Hook:
    def hook(_: int) -> None:
        say({"applied": [[write.user_id, write.id] for write in graph.given["apply"][-1]]})

    return hook


async def work(sync: AsyncSyncService, task: dict[str, Any]) -> None:
    """Do what the task says."""

    def progress(at: Progress) -> None:
        say({"run_id": str(at.run_id)})

    if task["work"] == "repair":
        await sync.repair_inconsistencies(task["depth"], dry_run=False, force=True, progress=progress)
    else:
        await sync.rebuild_graph(
            user_id=task.get("user_id"), clear_existing=task["clear"], force=True, progress=progress
        )


async def main(task: dict[str, Any]) -> None:
    """Do the task's work on its stores, and die at its point, if it has one."""
    stores = Stores(**task["stores"])
    vector, graph = Hooked(stores.vector()), Hooked(stores.graph())
    graph.after["apply"] = _telling(graph)
    if task["point"] is not None:
        store, moment, method, number = task["point"]
        hooks = getattr({"vector": vector, "graph": graph}[store], moment)
        hooks[method] = _die_at(number, hooks.get(method))
    settings = {"sync_batch": BATCH, "run_lease": LEASE, "relay_batch": BATCH}
    async with stores.service(vector=vector, graph=graph, **settings) as memories:
        await work(AsyncSyncService(memories), task)
    say({"done": True})


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
