"""How far a run is, told to whoever called for it: no oftener than is of use, and always further than before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.mcp.tool import Send
from sync import Progress
from sync.model import OnProgress

#: Seconds between two notifications of one call at least.
AT_LEAST = 0.25


@asynccontextmanager
async def telling(send: Send) -> AsyncIterator[OnProgress]:
    """Give a function that takes the progress of a run; what it is told is sent on until the block ends."""
    told = _Told(send)
    pump = asyncio.create_task(told.pump(), name="diptych-mcp-progress")
    try:
        yield told.tell
    finally:
        pump.cancel()
        await asyncio.wait({pump})
    await told.flush()


class _Told:
    """The newest progress, which replaces one that was not sent yet."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._came = asyncio.Event()
        self._latest: Progress | None = None
        self._phase = ""
        self._before = 0
        self._sent = -1

    def tell(self, progress: Progress) -> None:
        """Take what the run says of itself."""
        if progress.phase != self._phase:
            self._phase, self._before = progress.phase, max(self._sent, 0)
        self._latest = progress
        self._came.set()

    async def pump(self) -> None:
        """Send what there is to be sent, until cancelled."""
        while True:
            await self._came.wait()
            await self.flush()
            await asyncio.sleep(AT_LEAST)

    async def flush(self) -> None:
        """Send the newest, if it is further than what was sent; phases are added up, since progress only grows."""
        latest, self._latest = self._latest, None
        self._came.clear()
        if latest is None:
            return
        done = max(self._before + latest.done, self._sent + 1)
        total = None if latest.total is None else max(self._before + latest.total, done)
        self._sent = done
        await self._send(done, total, latest.phase)
