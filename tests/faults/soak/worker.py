"""The process that is soaked: ``python -m tests.faults.soak.worker JSON``, started by the command.

It says a line of JSON each second. A line on its stdin, or the end of it, is the calm: it waits until the outbox is
empty, looks whether everything is in step and as it was promised, says so, and ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from persistence import AsyncPersistenceService, PersistenceError
from sync import AsyncSyncService, Depth
from tests.faults.soak.load import WRITERS, Tally, Writer, check_now_and_then, shown
from tests.faults.stores import DIMENSION, Stores

#: Seconds after the calm in which the outbox has to become empty.
PATIENCE = 120.0
SETTINGS = {
    "embedding_dimension": DIMENSION,
    "pool_size": 8,
    "tombstone_age": 60.0,
    "relay_interval": 0.25,
    "relay_backoff_max": 2.0,
}


def say(line: dict[str, Any]) -> None:
    """Say a line of JSON."""
    os.write(1, f"{json.dumps(line)}\n".encode())


async def listen(calm: asyncio.Event) -> None:
    """Wait for a line on stdin, or its end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.readline()
    calm.set()


async def sample(memories: AsyncPersistenceService, tally: Tally, calm: asyncio.Event) -> None:
    """Say each second what only this process knows."""
    while not calm.is_set():
        await asyncio.sleep(1.0)
        pool = memories.parts.truth.store.pool_use()
        line = {"tasks": len(asyncio.all_tasks()), "operations": tally.operations, **tally.quantiles()}
        say({**line, "pool": pool.size if pool else None, "pool_waiting": pool.waiting if pool else None})


async def empty(memories: AsyncPersistenceService) -> tuple[int | None, int | None]:
    """Wait for an empty outbox; return what is pending and what is dead in it at last."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            outbox = (await memories.get_stats()).outbox
        except PersistenceError:
            outbox = None
        if time.monotonic() > end or (outbox and outbox.pending == 0):
            return (outbox.pending, outbox.dead) if outbox else (None, None)
        await asyncio.sleep(0.1)


async def look(memories: AsyncPersistenceService, writers: list[Writer], tally: Tally) -> dict[str, Any]:
    """Look at both stores after the calm."""
    started = time.monotonic()
    pending, dead = await empty(memories)
    in_step_s = round(time.monotonic() - started, 2)
    report = await AsyncSyncService(memories).check_consistency(Depth.FULL)
    lost = [one for writer in writers for one in await writer.lost()]
    return {
        **shown(tally),
        "pending": pending if pending is not None else "an unknown number of",
        "dead": dead,
        "complete": report.complete,
        "found": report.found,
        "lost": len(lost),
        "lost_memories": lost[:5],
        "in_doubt": sum(len(promise.doubts) for writer in writers for promise in writer.promises.values()),
        "empty_after_s": in_step_s,
    }


async def main(task: dict[str, Any]) -> None:
    """Work until the calm, then look."""
    calm, tally = asyncio.Event(), Tally()
    async with Stores(**task["stores"]).service(**{"enable_relay": True, **SETTINGS}) as memories:
        writers = [Writer(memories, tally, number, task["seed"]) for number in range(WRITERS)]
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.run(calm))
            group.create_task(check_now_and_then(memories, tally, calm))
            group.create_task(sample(memories, tally, calm))
            group.create_task(listen(calm))
        say({"end": await look(memories, writers, tally)})


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
