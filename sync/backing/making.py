"""Making a backup: all of a truth as a reader shows it, span by span, beside what the backup before has of it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from persistence.errors import BackupError
from persistence.gates import TruthGate
from persistence.ports.checking import EVERYTHING, Head, Span
from persistence.ports.outbox import Key
from persistence.ports.reader import Reader
from persistence.ports.runs import InconsistencyQuery, RunQuery
from persistence.ports.vector import StoreInfo, Tombstone, Truth
from persistence.retry import Deadline
from sync.backing.former import Changed, Former, changed, went_back
from sync.backing.keys import Keys
from sync.backing.manifest import Section, Tenants
from sync.backing.parts import Writer
from sync.backing.rows import order
from sync.backing.threads import in_thread

T = TypeVar("T")

#: Memories that are read at once, narrow rows that are read at once, and tenants that a manifest lists at most.
BATCH, ROWS, TENANTS = 500, 2_000, 1_000
#: Memories are counted up to this, and estimated beyond.
_COUNTED = 1_000_000

OnCount = Callable[[int, int], None]


@dataclass(slots=True)
class Asking:
    """A reader, asked within a deadline each time."""

    gate: TruthGate
    reader: Reader
    seconds: float

    async def __call__(self, call: Callable[[Reader], Coroutine[Any, Any, T]]) -> T:
        """Await one call of the reader. Raises VectorStoreError, DeadlineExceededError."""
        return await self.gate.read(lambda: call(self.reader), Deadline(self.seconds))


@dataclass(slots=True)
class Tally:
    """What was written so far."""

    counts: Counter[Section] = field(default_factory=Counter)
    oldest: int | None = None
    newest: int | None = None
    tenants: Counter[str] = field(default_factory=Counter)
    salt: str = field(default_factory=lambda: secrets.token_hex(16))

    def live(self, heads: Sequence[Head]) -> None:
        """Count live memories. Of tenants, no more than one too many are kept."""
        versions = [head.version for head in heads]
        self.oldest = min(versions, default=self.oldest) if self.oldest is None else min([self.oldest, *versions])
        self.newest = max(versions, default=self.newest) if self.newest is None else max([self.newest, *versions])
        for head in heads:
            if head.user_id in self.tenants or len(self.tenants) <= TENANTS:
                self.tenants[head.user_id] += 1

    def listed(self, keys: Keys | None) -> Tenants | None:
        """Return the tenants by the hashes of their names; None where there are too many."""
        if len(self.tenants) > TENANTS:
            return None
        counts = {hashed(self.salt, name, keys): count for name, count in sorted(self.tenants.items())}
        return Tenants(salt=self.salt, counts=counts)


def hashed(salt: str, name: str, keys: Keys | None) -> str:
    """Return what stands for a tenant's name in a manifest."""
    if keys is not None:
        return keys.of_name(salt + name)
    return blake2b(name.encode(), digest_size=16, salt=bytes.fromhex(salt)).hexdigest()


@dataclass(slots=True)
class Making:
    """One backup that is being written. ``former``: what the one before has; empty for a full one."""

    ask: Asking
    writer: Writer
    former: Former
    progress: OnCount
    tally: Tally = field(default_factory=Tally)

    async def run(self) -> StoreInfo:
        """Write everything; return what the truth said of itself at the end. Raises BackupError, VectorStoreError."""
        most = (await self.ask(lambda reader: reader.count(None, bound=_COUNTED))).value or 0
        for span in spans(most):
            await self._span(span)
            self.progress(self.tally.counts[Section.HEADS], most)
        await self._tombstones()
        await self._outbox()
        await self._runs()
        await self._inconsistencies()
        return await self.ask(lambda reader: reader.info())

    async def _add(self, section: Section, rows: Sequence[Any]) -> None:
        if rows:
            self.tally.counts[section] += len(rows)
            await in_thread(lambda: self.writer.add(section, rows))

    # --- memories -----------------------------------------------------------------------------------------------------

    async def _span(self, span: Span) -> None:
        heads = await self.ask(lambda reader: reader.bucket_rows(None, [span]))
        before = await in_thread(lambda: self.former.upto(span.high))
        now = {head.key: head for head in heads}
        news = changed(before, heads)
        for start in range(0, len(news.written), BATCH):
            await self._memories(news.written[start : start + BATCH], now)
        await self._gone(news, now)
        live = sorted(now.values(), key=order)
        self.tally.live(live)
        await self._add(Section.HEADS, live)

    async def _memories(self, keys: Sequence[Key], now: dict[Key, Head]) -> None:
        """Write memories as they are; where nothing stands still, that may be otherwise than a moment ago."""
        truths = await self.ask(partial(_read, keys=keys, embeddings=True))
        there = {key: truth.memory for key, truth in truths.items() if truth.memory is not None}
        for key in keys:
            now.pop(key, None)
        now |= {key: Head(*key, memory.digest, memory.version) for key, memory in there.items()}
        await self._add(Section.MEMORIES, list(there.values()))

    # --- deletes ------------------------------------------------------------------------------------------------------

    async def _gone(self, news: Changed, now: dict[Key, Head]) -> None:
        """Write tombstones of what the backup before has, and the truth has deleted and forgotten since.

        What is there again by now, where nothing stands still, is written as it is.
        """
        keys = list(news.gone)
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            truths = await self.ask(partial(_read, keys=some))
            floor = (await self.ask(lambda reader: reader.info())).floor
            forgotten = [key for key in some if key not in truths]
            for key in forgotten:
                if news.gone[key].version >= floor:
                    raise went_back(key)
            await self._add(Section.TOMBSTONES, [Tombstone(*key, floor) for key in forgotten])
            await self._memories([key for key, truth in truths.items() if truth.memory is not None], now)

    async def _tombstones(self) -> None:
        after: Key | None = None
        while page := await self._buried(after):
            after = Key(page[-1].user_id, page[-1].id)
            await self._add(Section.TOMBSTONES, page)

    async def _buried(self, after: Key | None) -> list[Tombstone]:
        return await self.ask(lambda reader: reader.tombstones(None, after=after, limit=ROWS))

    # --- what else there is -------------------------------------------------------------------------------------------

    async def _outbox(self) -> None:
        after: Key | None = None
        page = lambda reader: reader.outbox_page(dead=None, after=after, limit=ROWS)  # noqa: E731  # asked until empty
        while found := await self.ask(page):
            after = found[-1].key
            await self._add(Section.OUTBOX, found)

    async def _runs(self) -> None:
        before = None
        page = lambda reader: reader.runs(RunQuery(), before=before, limit=BATCH)  # noqa: E731  # asked until empty
        while found := await self.ask(page):
            before = found[-1].id
            await self._add(Section.RUNS, found)

    async def _inconsistencies(self) -> None:
        after, query = 0, InconsistencyQuery(open=None)
        page = lambda reader: reader.inconsistencies(query, after=after, limit=ROWS)  # noqa: E731  # asked until empty
        while found := await self.ask(page):
            after = found[-1].number
            await self._add(Section.INCONSISTENCIES, found)


async def _read(reader: Reader, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]:
    return await reader.read(keys, embeddings=embeddings)


def spans(count: int) -> list[Span]:
    """Divide all buckets so that each span has some ``ROWS`` memories: their buckets are hashes, and spread evenly."""
    bits = min(max(0, -(-count // ROWS) - 1).bit_length(), 18)
    width = EVERYTHING.high >> bits
    return [Span(low, low + width) for low in range(0, EVERYTHING.high, width)]


def bound(info: StoreInfo) -> tuple[str, int]:
    """Return the model and dimension of a truth. Raises BackupError where it has none yet."""
    if info.embedding_model is None or info.dimension is None:
        raise BackupError("The vector store holds nothing yet.", hint="store something first")
    return info.embedding_model, info.dimension
