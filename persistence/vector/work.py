"""Parsing and packing of rows: here where they are few, else in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")

#: Rows above which parsing or packing is worth a thread (about 3 ms of work).
MANY = 100


async def in_thread(work: Callable[[], T], size: int) -> T:
    """Do ``work`` on ``size`` rows."""
    return work() if size < MANY else await anyio.to_thread.run_sync(work)
