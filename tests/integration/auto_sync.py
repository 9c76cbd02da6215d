"""What the tests of the schedule share.

Run as ``python -m tests.integration.auto_sync JSON`` it is a process that runs the schedule, and kills itself (SIGKILL)
in the middle of its first check.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from persistence import AsyncPersistenceService
from sync.schedule import AutoSync
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, BOB, Stores, draft

#: Without jitter, and with quick checks alone where a test says nothing else.
QUICK_ONLY = {"sync_jitter": 0.0, "sync_structure_every": "", "sync_full_every": ""}
LEASE = 1.0


class Clock:
    """The real time, and what a test has put it forward by."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, **parts: float) -> None:
        self.ahead += timedelta(**parts)


async def age(stores: Stores, **parts: float) -> None:
    """Let so much time pass for the record of runs."""
    await stores.rows(
        "UPDATE runs SET started_at = started_at - age, updated_at = updated_at - age, finished_at = finished_at - age"
        " FROM (SELECT %s::interval AS age) AS passed",
        timedelta(**parts),
    )


class Gate:
    """A hook that holds a call until it may go on."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, _number: int) -> None:
        self.came.set()
        await self.go.wait()


async def fill(memories: AsyncPersistenceService, number: int = 10) -> None:
    """Store so many memories of two tenants."""
    for user_id in (ALICE, BOB):
        await memories.store_many([draft(n, user_id=user_id) for n in range(number)])


def _die(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(task: dict[str, Any]) -> None:
    """Run the schedule, and die when its check asks the graph."""
    stores = Stores(**task)
    graph = Hooked(stores.graph())
    graph.before["bucket_sums"] = _die
    async with stores.service(graph=graph, run_lease=LEASE, **QUICK_ONLY) as memories:
        await AutoSync(memories).run()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
