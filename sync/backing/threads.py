"""Work on files, in a thread that is never left alone with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Do the work in a thread. Cancelled, wait until it is done all the same, however often that is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # seen: what the work raised has nobody left to tell
        raise


async def each(source: Iterator[T]) -> AsyncGenerator[T]:
    """Yield what an iterator yields, each made in a thread."""
    while (found := await in_thread(lambda: next(source, None))) is not None:
        yield found
