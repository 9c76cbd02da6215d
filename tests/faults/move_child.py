"""A process that moves a truth and is killed at a named point: ``python -m tests.faults.move_child JSON``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from persistence.vector.pgvector import PgVectorStore
from persistence.vector.sqlite import SqliteStore
from sync import Progress
from sync.moving import move
from tests.contract.vector.making import DIMENSION
from tests.faults.proxies import Hooked
from tests.moving import config


def _die(number: int, at: int) -> None:
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(task: dict[str, Any]) -> None:
    """Move, and die at the point of the task."""
    source, target = PgVectorStore(task["url"], schema=task["schema"]), Hooked(SqliteStore(task["path"]))
    moment, method, at = task["point"]
    getattr(target, moment)[method] = lambda number: _die(number, at)

    def tell(progress: Progress) -> None:
        os.write(1, (json.dumps({"phase": progress.phase, "done": progress.done}) + "\n").encode())

    await source.open(model="test", dimension=DIMENSION)
    await target.open(model="test", dimension=DIMENSION)
    await move(source, target, config=config(), progress=tell)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
