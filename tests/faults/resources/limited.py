"""A process with little of something: ``python -m tests.faults.resources.limited JSON``; it answers a line of JSON.

``check``: a check of everything, with so many megabytes of address space more than the open service takes. ``files``:
a service that cannot open one more file or socket, then can again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persistence import AsyncPersistenceService, PersistenceError
from sync import AsyncSyncService, Depth
from tests.faults.stores import ALICE, Stores, StoresOnPostgres, draft, until
from tests.faults.truths import SqliteStores, SqliteStoresOnPostgres

KINDS = {kind.__name__: kind for kind in (Stores, StoresOnPostgres, SqliteStores, SqliteStoresOnPostgres)}
_MEGABYTE = 1 << 20


def _status(name: str) -> int:
    """Return a figure of this process in bytes: VmSize, VmHWM, VmRSS."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _forget_peak() -> None:
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


async def check(stores: Stores, task: dict[str, Any]) -> dict[str, Any]:
    """Check with a limit; say what the peak was above what the open service had taken."""
    async with stores.service(write_timeout=30, sync_timeout=600) as memories:
        sync = AsyncSyncService(memories)
        await sync.check_consistency(Depth.QUICK, user_id="nobody")
        gc.collect()
        limit = _status("VmSize") + task["megabytes"] * _MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        _forget_peak()
        before = _status("VmRSS")
        report = await sync.check_consistency(Depth(task["depth"]))
        peak = round((_status("VmHWM") - before) / _MEGABYTE, 1)
        return {"complete": report.complete, "found": report.found, "checked": report.checked.vector, "peak_mb": peak}


@contextlib.contextmanager
def _no_files_left() -> Iterator[None]:
    """Take every file that this process may have open."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(former[0], 256), former[1]))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for handle in taken:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, former)


async def _said(call: Any) -> dict[str, Any]:
    """Say how a call ended."""
    try:
        answer = await call
    except PersistenceError as error:
        return {
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "retryable": error.retryable,
        }
    return {"outcome": str(getattr(answer, "outcome", "ok"))}


async def files(stores: Stores, task: dict[str, Any]) -> dict[str, Any]:
    """Work without a file left: first with the connections there are, then after they were all lost."""
    del task
    async with stores.service(enable_relay=True, write_timeout=2.0, connect_timeout=1.0) as memories:
        await memories.store(**draft(1))
        with _no_files_left():
            kept = [await _said(memories.store(**draft(2))), await _said(memories.get("m0001", user_id=ALICE))]
            await lose_connections(memories)
            lost = [
                await _said(memories.store(**draft(3))),
                await _said(memories.get("m0001", user_id=ALICE)),
                await _said(AsyncSyncService(memories).check_consistency(Depth.FULL)),
                await _said(memories.get_health()),
                await _said(stores.service(connect_timeout=1.0).__aenter__()),
            ]
        after = await _recovered(memories)
        there = [await memories.get(draft(number)["id"], user_id=ALICE) is not None for number in range(5)]
    return {"kept": kept, "lost": lost, "after": after, "there": there}


async def lose_connections(memories: AsyncPersistenceService) -> None:
    """Have the store's pool drop its connections, as it does when it finds that its server closed them."""
    sessions = getattr(memories.parts.truth.store, "_sessions", None)
    pool = getattr(sessions, "_pool", None)
    if pool is not None:
        await pool.drain()


async def _recovered(memories: AsyncPersistenceService) -> dict[str, Any]:
    """Wait until the same service works again; say what a full check finds."""

    async def stored() -> bool:
        return "error" not in await _said(memories.store(**draft(4)))

    async def in_step() -> bool:
        await _said(memories.drain())
        return "error" not in await _said(check.check_consistency(Depth.FULL)) and await _settled(memories)

    check = AsyncSyncService(memories)
    await until(stored, seconds=30, what="a write with files again")
    await until(in_step, seconds=30, what="an empty outbox")
    report = await check.check_consistency(Depth.FULL)
    return {"found": report.found, "in_step": report.in_step}


async def _settled(memories: AsyncPersistenceService) -> bool:
    outbox = (await memories.get_stats()).outbox
    return outbox is not None and outbox.pending == 0


WORK = {"check": check, "files": files}


async def main(task: dict[str, Any]) -> None:
    """Do the task on its stores."""
    stores = KINDS[task["kind"]](**task["stores"])
    os.write(1, f"{json.dumps(await WORK[task['work']](stores, task))}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
