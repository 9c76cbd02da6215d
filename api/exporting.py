"""An export as JSON lines, a page at a time, for a file and for an HTTP answer alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from api.lines import end_line, header_line, memory_line, tombstone_line
from persistence.gates import TruthGate
from persistence.ports.outbox import Key
from persistence.ports.vector import StoreInfo, Tombstone
from persistence.records import Memory
from persistence.retry import Deadline

#: Memories that are held at once, and seconds for reading them.
PAGE, PAGE_TIME = 500, 120.0


@dataclass(slots=True)
class Export:
    """One export: what is wanted, and what was written so far. ``user_id`` None: all tenants."""

    truth: TruthGate
    user_id: str | None
    full: bool
    embeddings: bool
    memories: int = 0
    tombstones: int = 0

    async def lines(self) -> AsyncGenerator[list[str]]:
        """Yield all lines, a page at a time. Memories first: what is deleted meanwhile is among the tombstones then."""
        if self.full:
            yield [header_line(await self._info(), self.user_id)]
        async with aclosing(self._walk()) as pages:
            async for page in pages:
                self.memories += len(page)
                yield await asyncio.to_thread(self._lines_of, page)
        if self.full:
            async with aclosing(self._buried()) as graves:
                async for stones in graves:
                    self.tombstones += len(stones)
                    yield [tombstone_line(stone) for stone in stones]
            yield [end_line(self.memories, self.tombstones, (await self._info()).floor)]

    def _lines_of(self, page: Sequence[Memory]) -> list[str]:
        return [memory_line(memory, full=self.full, embeddings=self.embeddings) for memory in page]

    async def _info(self) -> StoreInfo:
        return await self.truth.read(self.truth.store.info, Deadline(PAGE_TIME))

    async def _walk(self) -> AsyncGenerator[list[Memory]]:
        store, user_id = self.truth.store, self.user_id
        after: Key | None = None
        read = lambda: store.walk(user_id, after=after, limit=PAGE, embeddings=self.embeddings)  # noqa: E731  # named for one line
        while page := await self.truth.read(read, Deadline(PAGE_TIME)):
            after = Key(page[-1].user_id, page[-1].id)
            yield page

    async def _buried(self) -> AsyncGenerator[list[Tombstone]]:
        store, user_id = self.truth.store, self.user_id
        after: Key | None = None
        read = lambda: store.tombstones(user_id, after=after, limit=PAGE)  # noqa: E731  # named for one line
        while page := await self.truth.read(read, Deadline(PAGE_TIME)):
            after = Key(page[-1].user_id, page[-1].id)
            yield page
