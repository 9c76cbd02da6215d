"""A process that backs up or restores, and is killed at a named point: ``-m tests.faults.backing_child JSON``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from persistence.vector.sqlite import SqliteStore
from sync.backing import restore
from sync.backing.parts import Writer
from sync.backing.shelf import Shelf
from tests.backing import CONFIG, backed_up
from tests.contract.vector.making import DIMENSION
from tests.faults.proxies import Hooked

#: Where a backup can die: in a function of these, before it is called for the n-th time.
OWNERS: dict[str, Any] = {"add": Writer, "finish_parts": Writer, "finish": Shelf, "rename": Path, "drop": Shelf}


def _die(number: int, at: int) -> None:
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)


def plant(name: str, at: int) -> None:
    """Make a function kill the process."""
    owner, method = OWNERS[name], name.partition("_")[0]
    inner: Callable[..., Any] = getattr(owner, method)
    calls = iter(range(1, 1_000_000))

    def deadly(*given: Any, **named: Any) -> Any:
        _die(next(calls), at)
        return inner(*given, **named)

    setattr(owner, method, deadly)


async def main(task: dict[str, Any]) -> None:
    """Do it, and die at the point of the task."""
    store = SqliteStore(task["truth"])
    if task["what"] == "backup":
        plant(*task["point"])
        await store.open(model="test", dimension=DIMENSION)
        await backed_up(store, Path(task["path"]), incremental=task["incremental"])
        return
    moment, method, at = task["point"]
    target = Hooked(store)
    getattr(target, moment)[method] = lambda number: _die(number, at)
    await target.open(model="test", dimension=DIMENSION)
    await restore(target, Path(task["path"]), config=CONFIG)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
