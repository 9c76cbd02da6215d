"""The quick scan: sums of two stores per bucket, then, where they differ, the rows below.

Truth and its copy: the graph to a check, another truth to a move.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, Protocol, TypeVar

from persistence.ports.checking import EVERYTHING, BucketSum, Head, Span, summed
from persistence.ports.outbox import Key
from persistence.projection import BUCKET_BITS, bucket
from sync.pair import Throttle

T = TypeVar("T")

#: Bits of the first comparison: 4,096 sums from each store (0.3 MB); for a tenant of no more than that many, 64.
ALL_BITS, TENANT_BITS, TENANT = 12, 6, 50_000
#: Bits by which a prefix is divided further.
STEP_BITS = 6
#: A prefix with no more rows than this on either side is compared row by row.
FEW_ROWS = 1_000
#: What summing a row up in its store costs, beside reading it: measured 1.5 and 24 microseconds.
SUMMED = 1 / 16
#: Bits by which prefixes are made longer at once, at most: 262,144 sums of each store, in pieces.
MOST_STEPS = 6
#: Rows of both sides, and sums of each, that are held at once: some 20 MB.
ROWS_AT_ONCE, SUMS_AT_ONCE = 20_000, 32_768

Sums = Mapping[int, BucketSum]


class Summing(Protocol):
    """A store that answers sums and rows, as ports/checking.py says."""

    async def bucket_sums(self, user_id: str | None, span: Span, *, bits: int) -> dict[int, BucketSum]: ...
    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]: ...


class Compared(Protocol):
    """Two stores that are compared. ``aggregates``: of truth, of its copy."""

    throttle: Throttle

    @property
    def aggregates(self) -> tuple[bool, bool]: ...
    async def truth(self, call: Callable[[Summing], Coroutine[Any, Any, T]]) -> T: ...
    async def copy(self, call: Callable[[Summing], Coroutine[Any, Any, T]]) -> T: ...


@dataclass(frozen=True, slots=True)
class Sizes:
    """Live memories on both sides of a span."""

    vector: int
    graph: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sums are wanted: by prefixes of so many bits, of a span with about so many rows on each side."""

    user_id: str | None
    span: Span
    bits: int
    rows: int

    @property
    def width(self) -> int:
        """Buckets of one prefix."""
        return 1 << (BUCKET_BITS - self.bits)

    @property
    def prefixes(self) -> int:
        """Prefixes that the span has."""
        return (self.span.high - self.span.low) // self.width

    def readable(self) -> list[Span]:
        """Divide the span, between prefixes, into parts whose rows can be held at once."""
        return self._divided(-(-self.rows // ROWS_AT_ONCE))

    def summable(self) -> list[Wanted]:
        """Divide it, between prefixes, so that the sums of each can be held at once."""
        spans = self._divided(-(-min(self.prefixes, self.rows) // SUMS_AT_ONCE))
        return [replace(self, span=span, rows=-(-self.rows // len(spans))) for span in spans]

    def _divided(self, parts: int) -> list[Span]:
        step = max(1, self.prefixes // max(1, parts)) * self.width
        return [Span(low, min(low + step, self.span.high)) for low in range(self.span.low, self.span.high, step)]


@dataclass(frozen=True, slots=True)
class Part:
    """A span whose sums differ, and how many rows it has on both sides together."""

    span: Span
    rows: int
    most: int


def bits_for(user_id: str | None, size: int) -> int:
    """Return the bits of the first comparison; memories that would be compared row by row anyway need a single sum."""
    if user_id is None or size > TENANT:
        return ALL_BITS
    return TENANT_BITS if size > FEW_ROWS else 0


def slices(count: int) -> list[Span]:
    """Divide all buckets into ``count`` spans, a power of two."""
    width = EVERYTHING.high // count
    return [Span(i * width, (i + 1) * width) for i in range(count)]


async def compare(pair: Compared, wanted: Wanted) -> tuple[Sizes, list[Part]]:
    """Compare the sums of a span. Raises what a store that cannot be read raises."""
    vector, graph = await asyncio.gather(_sums_of_truth(pair, wanted), _sums_of_copy(pair, wanted))
    sizes = Sizes(_total(vector), _total(graph))
    await pair.throttle.rows(max(sizes.vector, sizes.graph))
    return sizes, [_part(prefix, wanted.width, vector, graph) for prefix in sorted(_differing(vector, graph))]


async def below(pair: Compared, wanted: Wanted, sizes: Sizes, parts: Sequence[Part]) -> AsyncGenerator[list[Key]]:
    """Yield the memories that differ below the parts of a comparison that do, some at a time.

    Where many parts differ, reading all of their rows would cost more than comparing once more by longer prefixes.
    """
    finer = wanted
    if all(pair.aggregates):
        finer = replace(wanted, bits=finer_bits(wanted, sizes, len(parts), sum(part.rows for part in parts)))
    if finer == wanted:
        async for keys in suspects(pair, wanted.user_id, parts, wanted.bits):
            yield keys
        return
    for piece in finer.summable():
        _, differing = await compare(pair, piece)
        async for keys in suspects(pair, wanted.user_id, differing, finer.bits):
            yield keys


def finer_bits(wanted: Wanted, sizes: Sizes, differing: int, rows: int) -> int:
    """Return the bits of prefixes by which what differs is found at the least cost.

    A cost is counted in rows that are read. ``differing`` prefixes of this comparison, with so many rows on both sides.
    """
    if not differing:
        return wanted.bits
    both, prefixes = sizes.vector + sizes.graph, wanted.prefixes
    drifts = _drifts(differing, prefixes)

    def cost(step: int) -> float:
        sums = 2 * min(prefixes << step, both // 2)
        return both * SUMMED + sums + min(rows, drifts * rows / differing / (1 << step))

    steps = range(2, min(MOST_STEPS, BUCKET_BITS - wanted.bits) + 1)
    best = min(steps, key=cost, default=0)
    return wanted.bits + best if best and cost(best) < rows else wanted.bits


def _drifts(differing: int, prefixes: int) -> float:
    """Return how many drifts, spread evenly, are to be expected in so many of the prefixes (balls in bins)."""
    left = max(prefixes - differing, 0.5)
    return max(differing, prefixes * log(prefixes / left))


async def suspects(pair: Compared, user_id: str | None, parts: Iterable[Part], bits: int) -> AsyncGenerator[list[Key]]:
    """Yield the memories that differ below parts whose sums differ, some at a time."""
    few: list[Part] = []
    rows = 0
    for part in parts:
        if part.most > FEW_ROWS and bits < BUCKET_BITS:
            async for keys in _divided(pair, user_id, part, bits):
                yield keys
            continue
        few.append(part)
        rows += part.rows
        if rows >= ROWS_AT_ONCE:
            yield await _differing_rows(pair, user_id, few)
            few, rows = [], 0
    if few:
        yield await _differing_rows(pair, user_id, few)


async def _divided(pair: Compared, user_id: str | None, part: Part, bits: int) -> AsyncGenerator[list[Key]]:
    finer = min(bits + STEP_BITS, BUCKET_BITS)
    _, below = await compare(pair, Wanted(user_id, part.span, finer, part.most))
    async for keys in suspects(pair, user_id, below, finer):
        yield keys


async def _differing_rows(pair: Compared, user_id: str | None, parts: Sequence[Part]) -> list[Key]:
    spans = _joined(part.span for part in parts)
    vector, graph = await asyncio.gather(
        pair.truth(lambda store: store.bucket_rows(user_id, spans)),
        pair.copy(lambda store: store.bucket_rows(user_id, spans)),
    )
    await pair.throttle.rows(max(len(vector), len(graph)))
    return await asyncio.to_thread(_unlike, vector, graph)


def _unlike(vector: Sequence[Head], graph: Sequence[Head]) -> list[Key]:
    """Return the keys of rows that have no equal on the other side, in key order."""
    return sorted({Key(row.user_id, row.id) for row in set(vector) ^ set(graph)})


async def _sums_of_truth(pair: Compared, wanted: Wanted) -> Sums:
    if pair.aggregates[0]:
        return await pair.truth(lambda store: store.bucket_sums(wanted.user_id, wanted.span, bits=wanted.bits))
    return await _summed_here(wanted, lambda span: pair.truth(lambda store: store.bucket_rows(wanted.user_id, [span])))


async def _sums_of_copy(pair: Compared, wanted: Wanted) -> Sums:
    if pair.aggregates[1]:
        return await pair.copy(lambda store: store.bucket_sums(wanted.user_id, wanted.span, bits=wanted.bits))
    return await _summed_here(wanted, lambda span: pair.copy(lambda store: store.bucket_rows(wanted.user_id, [span])))


async def _summed_here(wanted: Wanted, read: Callable[[Span], Awaitable[Sequence[Head]]]) -> Sums:
    """Sum up what a store cannot sum up by itself, reading its rows a part of the span after another."""
    sums: dict[int, BucketSum] = {}
    for part in wanted.readable():
        sums |= await asyncio.to_thread(_by_prefix, await read(part), part, wanted.width)
    return sums


def _by_prefix(rows: Sequence[Head], span: Span, width: int) -> Sums:
    """Sum rows of a span up by prefix. One whose stored bucket is not its own is left out, and so looked at."""
    groups = defaultdict[int, list[Head]](list)
    for row in rows:
        own = bucket(row.user_id, row.id)
        if span.low <= own < span.high:
            groups[own // width].append(row)
    return {prefix: summed(group) for prefix, group in groups.items()}


def _differing(vector: Sums, graph: Sums) -> set[int]:
    return {prefix for prefix in vector.keys() | graph.keys() if vector.get(prefix) != graph.get(prefix)}


def _part(prefix: int, width: int, vector: Sums, graph: Sums) -> Part:
    counts = [sums[prefix].count if prefix in sums else 0 for sums in (vector, graph)]
    return Part(Span(prefix * width, (prefix + 1) * width), sum(counts), max(counts))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join neighbours, so that few spans are asked for."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and joined[-1].high == span.low:
            joined[-1] = Span(joined[-1].low, span.high)
        else:
            joined.append(span)
    return joined


async def size_of_truth(pair: Compared, wanted: Wanted) -> int:
    """Count truth's memories of a span. Raises VectorStoreError, DeadlineExceededError."""
    return _total(await _sums_of_truth(pair, wanted))


def _total(sums: Sums) -> int:
    return sum(each.count for each in sums.values())
