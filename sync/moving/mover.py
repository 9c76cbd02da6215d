"""One move under way: the walk, the vector index, the catching up, the tombstones, the last comparison.

Every step can be repeated, because the target takes a memory only where what it has is older. So a move that died is
taken up at its cursor, and what it did twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone, Tracking, Transferred, Truth
from persistence.records import Memory
from sync.journal import Journal
from sync.moving.compare import Comparison, Unlike, compared, differing, summed
from sync.moving.model import Moved
from sync.moving.stores import Stores

#: Rounds of catching up that bring the difference no lower, after which a writer is what keeps it up.
STEADY = 3


class Mover:
    """Carries one move through its phases. ``keep_others``: memories that the source does not have stay."""

    def __init__(
        self,
        stores: Stores,
        journal: Journal,
        moved: Moved,
        *,
        batch: int,
        keep_others: bool,
        progress: Callable[[str, int], None],
    ) -> None:
        self._stores = stores
        self._journal = journal
        self._user_id = journal.run.user_id
        self._batch = batch
        self._keep_others = keep_others
        self._progress = progress
        self._tracking = Tracking(graph=False, lease=0.0)
        self.moved = moved

    async def run(self) -> Comparison:
        """Go through what is left of the phases; return the last comparison."""
        self._tracking = Tracking(graph=(await self._stores.copy(lambda s: s.info())).graph is not None, lease=0.0)
        phases: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "walk": self._walk,
            "index": self._index,
            "catch_up": self._catch_up,
        }
        names = list(phases)
        for name in names[names.index(self.moved.phase) :]:
            if self.moved.phase != name:
                self.moved.phase, self.moved.after = name, None
                await self._checkpoint(now=True)
            await phases[name]()
        await self._tombstones()
        self._progress("verify", 0)
        return await compared(self._stores, self._user_id, self._batch)

    async def _checkpoint(self, *, now: bool = False) -> None:
        await self._journal.checkpoint(self.moved.saved(), now=now)

    @property
    def _after(self) -> Key | None:
        return Key(*self.moved.after) if self.moved.after else None

    # --- walk -------------------------------------------------------------------------------------------------------

    async def _walk(self) -> None:
        """Write page k while page k+1 is read. The vector index is put off where the target was empty."""
        await self._stores.target.store.begin_load()
        ahead = asyncio.create_task(self._read(self._after))
        try:
            while page := await ahead:
                last = Key(page[-1].user_id, page[-1].id)
                ahead = asyncio.create_task(self._read(last))
                await self._transfer(page, ())
                self.moved.walked += len(page)
                self.moved.after = list(last)
                await self._checkpoint()
                self._progress("walk", self.moved.walked)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _read(self, after: Key | None) -> list[Memory]:
        user_id, limit = self._user_id, self._batch
        return await self._stores.truth(lambda store: store.walk(user_id, after=after, limit=limit, embeddings=True))

    async def _index(self) -> None:
        """Build what the walk put off, for as long as it takes; the run's lease is renewed meanwhile."""
        self._progress("index", 0)
        await self._stores.target.store.end_load()

    async def _transfer(self, memories: Sequence[Memory], tombstones: Sequence[Tombstone]) -> Transferred:
        await self._stores.throttle.rows(len(memories) + len(tombstones))
        done = await self._stores.change(lambda store: store.transfer(memories, tombstones, self._tracking))
        dead = {Key(stone.user_id, stone.id) for stone in tombstones}
        deleted = sum(key in dead for key in done.written)
        self.moved.deleted += deleted
        self.moved.copied += len(done.written) - deleted
        return done

    # --- catching up ------------------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """Copy what differs, again and again, until nothing is left to copy, or as much as ever."""
        least, steady = None, 0
        while steady < STEADY and (copied := await self._round()):
            steady = steady + 1 if least is not None and copied >= least else 0
            least = copied if least is None else min(least, copied)
            self.moved.rounds += 1
            await self._checkpoint(now=True)

    async def _round(self) -> int:
        """Copy what differs now; return how many memories and tombstones that were."""
        copied = 0
        sums = await summed(self._stores, self._user_id)
        async with aclosing(differing(self._stores, sums, self._batch)) as pages:
            async for page in pages:
                copied += await self._bring(page)
                self._progress("catch_up", self.moved.copied + self.moved.deleted)
                await self._checkpoint()
        return copied

    async def _bring(self, page: Sequence[Unlike]) -> int:
        keys = [one.key for one in page if one.behind]
        there: dict[Key, Truth] = {}
        if keys:
            there = await self._stores.truth(lambda store: store.read(keys, embeddings=True))
        memories = [truth.memory for truth in there.values() if truth.memory is not None]
        tombstones = [truth.tombstone for truth in there.values() if truth.tombstone is not None]
        done = await self._transfer(memories, tombstones + await self._forgotten(page))
        return len(done.written)

    async def _forgotten(self, page: Sequence[Unlike]) -> list[Tombstone]:
        """Return tombstones of what we copied, and the source has deleted and forgotten since.

        The source's floor is at least as high as the tombstone was. What is above the floor was written by somebody
        else into the target, and is none of ours.
        """
        gone = [one for one in page if one.source.version is None and one.target.live]
        if not gone or self._keep_others:
            return []
        floor = (await self._stores.truth(lambda store: store.info())).floor
        return [Tombstone(*one.key, floor) for one in gone if (one.target.version or 0) < floor]

    # --- tombstones -------------------------------------------------------------------------------------------------

    async def _tombstones(self) -> None:
        """Bring the deletes of what the target never had, and the floor, which stands for those forgotten.

        Their place is not kept: whoever takes a move up catches up first, and begins with them anew.
        """
        after: Key | None = None
        while page := await self._buried(after):
            await self._transfer((), page)
            after = Key(page[-1].user_id, page[-1].id)
            await self._checkpoint()
            self._progress("tombstones", self.moved.deleted)
        floor = (await self._stores.truth(lambda store: store.info())).floor
        await self._stores.change(lambda store: store.raise_floor(floor))

    async def _buried(self, after: Key | None) -> list[Tombstone]:
        user_id, limit = self._user_id, self._batch
        return await self._stores.truth(lambda store: store.tombstones(user_id, after=after, limit=limit))
