"""What two truths do not have in common: found by their sums, then looked at memory by memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from persistence.ports.checking import EVERYTHING, Standing
from persistence.ports.outbox import Key
from sync import scan
from sync.moving.stores import Stores

#: Memories are counted up to this, and estimated beyond.
ESTIMATED = 1_000


class Unlike(NamedTuple):
    """A memory that both sides do not hold alike."""

    key: Key
    source: Standing
    target: Standing

    @property
    def behind(self) -> bool:
        """Whether the source is ahead; else the target is, or both say otherwise at one version."""
        return (self.source.version or 0) > (self.target.version or 0)


class Sums(NamedTuple):
    """What a comparison of sums says: sizes, and the parts that differ."""

    wanted: scan.Wanted
    sizes: scan.Sizes
    parts: list[scan.Part]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Live memories on both sides; how many the target lacks or has older, how many it has otherwise, one of these."""

    source: int
    target: int
    behind: int
    others: int
    example: Key | None = None


async def compared(stores: Stores, user_id: str | None, batch: int) -> Comparison:
    """Compare all there is, both ways, with a fresh look at each difference."""
    sums = await summed(stores, user_id)
    behind = others = 0
    example: Key | None = None
    async with aclosing(differing(stores, sums, batch)) as pages:
        async for page in pages:
            ahead = [one.key for one in page if not one.behind]
            others += len(ahead)
            behind += len(page) - len(ahead)
            example = example or next(iter(ahead), None)
    return Comparison(sums.sizes.vector, sums.sizes.graph, behind, others, example)


async def summed(stores: Stores, user_id: str | None) -> Sums:
    """Compare the sums of all there is."""
    count = lambda store: store.count(user_id, bound=ESTIMATED)  # noqa: E731  # asked of both
    most = max((await stores.truth(count)).value or 0, (await stores.copy(count)).value or 0)
    bits = scan.bits_for(user_id, most)
    wanted = scan.Wanted(user_id, EVERYTHING, bits, most)
    return Sums(wanted, *await scan.compare(stores, wanted))


async def differing(stores: Stores, sums: Sums, batch: int) -> AsyncGenerator[list[Unlike]]:
    """Yield what differs, some at a time; what came to agree meanwhile is left out."""
    async with aclosing(scan.below(stores, *sums)) as suspects:
        async for keys in suspects:
            for start in range(0, len(keys), batch):
                yield await _looked_at(stores, keys[start : start + batch])


async def _looked_at(stores: Stores, keys: Sequence[Key]) -> list[Unlike]:
    source = await stores.truth(lambda store: store.standings(keys))
    target = await stores.copy(lambda store: store.standings(keys))
    return [Unlike(key, source[key], target[key]) for key in keys if not _alike(source[key], target[key])]


def _alike(source: Standing, target: Standing) -> bool:
    return (source.version, source.digest) == (target.version, target.digest)
