"""The load: writers and readers at a steady pace, and what they were promised."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

from persistence import AsyncPersistenceService, Key, OutcomeUnknownError, PersistenceError
from sync import AsyncSyncService, Depth
from tests.faults.stores import ALICE, BOB, draft

WRITERS = 6
#: Memories of each writer under each tenant: few, so that what is kept of them stays as large as it is.
IDS = 60
#: Seconds between two operations of one writer.
PACE = 0.03
#: Writes of unknown outcome that are remembered of one memory.
DOUBTS = 16


class Promise:
    """What was acknowledged last of one memory, and what may have been written besides. None: it is deleted."""

    def __init__(self) -> None:
        self.acknowledged: str | None = None
        self.doubts: deque[str | None] = deque(maxlen=DOUBTS)

    def allows(self, content: str | None) -> bool:
        return content == self.acknowledged or content in self.doubts


class Tally:
    """Operations, their errors, and how long they took since the last look."""

    def __init__(self) -> None:
        self.operations = 0
        self.outcomes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.foreign: Counter[str] = Counter()
        self.alarms = 0
        self._took: list[float] = []

    def took(self, seconds: float) -> None:
        self.operations += 1
        self._took.append(seconds * 1_000)

    def quantiles(self) -> dict[str, float | None]:
        """Return the milliseconds that calls took since the last look; None where there was none."""
        took, self._took = sorted(self._took), []
        if not took:
            return {"p50_ms": None, "p99_ms": None}
        return {name: round(took[int(len(took) * share)], 2) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}


class Writer:
    """Writes and reads memories of its own, which nobody else writes."""

    def __init__(self, memories: AsyncPersistenceService, tally: Tally, number: int, seed: int) -> None:
        self._memories = memories
        self._tally = tally
        self._rng = random.Random(seed * 1_000 + number)
        self._prefix = f"w{number}-"
        self._written = 0
        self.promises = {Key(user, f"{self._prefix}{n:04}"): Promise() for user in (ALICE, BOB) for n in range(IDS)}

    async def run(self, calm: asyncio.Event) -> None:
        """Work until it is calm."""
        keys = list(self.promises)
        while not calm.is_set():
            started = time.perf_counter()
            await self._one(self._rng.choice(keys))
            self._tally.took(time.perf_counter() - started)
            await asyncio.sleep(PACE)

    async def _one(self, key: Key) -> None:
        self._written += 1
        content = None if (action := self._rng.random()) < 0.15 else f"{self._written} of {key.id}"
        try:
            if action > 0.7:
                await self._read(key, action)
            else:
                await self._write(key, content)
        except PersistenceError as error:
            self._tally.errors[type(error).__name__] += 1
            if isinstance(error, OutcomeUnknownError):
                self.promises[key].doubts.append(content)
        except Exception as error:  # noqa: BLE001 - counted, and the verdict fails
            self._tally.foreign[f"{type(error).__name__}: {error}"[:200]] += 1

    async def _read(self, key: Key, action: float) -> None:
        if action > 0.9:
            await self._memories.search(draft(self._written)["embedding"], user_id=key.user_id, limit=5, expand=1)
        else:
            await self._memories.get(key.id, user_id=key.user_id)

    async def _write(self, key: Key, content: str | None) -> None:
        if content is None:
            result = await self._memories.delete(key.id, user_id=key.user_id)
        else:
            memory = draft(self._rng.randrange(500), user_id=key.user_id, id=key.id, content=content)
            result = await self._memories.store(**memory)
        self._tally.outcomes[result.outcome] += 1
        self.promises[key].acknowledged = content

    async def lost(self) -> list[str]:
        """Say which memories are not as they were promised."""
        found = []
        for key, promise in self.promises.items():
            memory = await self._memories.get(key.id, user_id=key.user_id)
            content = memory.content if memory else None
            if not promise.allows(content):
                found.append(f"{key}: {content!r}, promised {promise.acknowledged!r} or {list(promise.doubts)}")
        return found


async def check_now_and_then(memories: AsyncPersistenceService, tally: Tally, calm: asyncio.Event) -> None:
    """Check beside the load: what is under way must never be called drift."""
    sync, number = AsyncSyncService(memories), 0
    while not calm.is_set():
        number += 1
        try:
            report = await sync.check_consistency(Depth.STRUCTURE if number % 4 == 0 else Depth.QUICK)
        except PersistenceError as error:
            tally.errors[f"check: {type(error).__name__}"] += 1
        else:
            tally.alarms += report.found
        with suppress(TimeoutError):
            await asyncio.wait_for(calm.wait(), 3.0)


def shown(tally: Tally) -> dict[str, Any]:
    """Return the tally as the worker says it at the end."""
    return {
        "operations": tally.operations,
        "outcomes": dict(tally.outcomes),
        "errors": dict(tally.errors),
        "alarms": tally.alarms,
        "foreign": sum(tally.foreign.values()),
        "foreign_errors": dict(tally.foreign.most_common(5)),
    }
