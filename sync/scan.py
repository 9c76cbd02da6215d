"""The quick scan: sums of both stores per bucket, then, where they differ, the rows below."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from persistence.ports.checking import EVERYTHING, BucketSum, Head, Span
from persistence.ports.outbox import Key
from persistence.projection import BUCKET_BITS
from sync.pair import Pair

#: Bits of the first comparison: 4,096 sums from each store (0.3 MB); for one tenant, which is small as a rule, 64.
ALL_BITS, TENANT_BITS = 12, 6
#: Bits by which a prefix is divided further.
STEP_BITS = 6
#: A prefix with no more rows than this on either side is compared row by row.
FEW_ROWS = 1_000
#: Rows of both sides that are held at once.
ROWS_AT_ONCE = 20_000

Sums = Mapping[int, BucketSum]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Live memories on both sides of a span."""

    vector: int
    graph: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A span whose sums differ, and how many rows it has on both sides together."""

    span: Span
    rows: int
    most: int


def slices(count: int) -> list[Span]:
    """Divide all buckets into ``count`` spans, a power of two."""
    width = EVERYTHING.high // count
    return [Span(i * width, (i + 1) * width) for i in range(count)]


async def compare(pair: Pair, user_id: str | None, span: Span, bits: int) -> tuple[Sizes, list[_Part]]:
    """Compare the sums of a span. Raises what a store that cannot be read raises."""
    vector, graph = await asyncio.gather(
        _sums(pair, user_id, span, bits, True), _sums(pair, user_id, span, bits, False)
    )
    sizes = Sizes(_total(vector), _total(graph))
    await pair.throttle.rows(max(sizes.vector, sizes.graph))
    return sizes, [_part(prefix, bits, vector, graph) for prefix in sorted(_differing(vector, graph))]


async def suspects(pair: Pair, user_id: str | None, parts: Iterable[_Part], bits: int) -> AsyncGenerator[list[Key]]:
    """Yield the memories that differ below parts whose sums differ, some at a time."""
    few: list[_Part] = []
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


async def _divided(pair: Pair, user_id: str | None, part: _Part, bits: int) -> AsyncGenerator[list[Key]]:
    finer = min(bits + STEP_BITS, BUCKET_BITS)
    _, below = await compare(pair, user_id, part.span, finer)
    async for keys in suspects(pair, user_id, below, finer):
        yield keys


async def _differing_rows(pair: Pair, user_id: str | None, parts: Sequence[_Part]) -> list[Key]:
    spans = _joined(part.span for part in parts)
    vector, graph = await asyncio.gather(
        pair.truth(lambda store: store.bucket_rows(user_id, spans)),
        pair.graph(lambda store: store.bucket_rows(user_id, spans)),
    )
    await pair.throttle.rows(max(len(vector), len(graph)))
    return await asyncio.to_thread(_unlike, vector, graph)


def _unlike(vector: Sequence[Head], graph: Sequence[Head]) -> list[Key]:
    """Return the keys of rows that have no equal on the other side, in key order."""
    return sorted({Key(row.user_id, row.id) for row in set(vector) ^ set(graph)})


async def _sums(pair: Pair, user_id: str | None, span: Span, bits: int, of_truth: bool) -> Sums:  # noqa: FBT001
    """Return one side's sums; where the store cannot sum, by reading its rows a small span at a time."""
    if of_truth:
        if pair.parts.truth.store.aggregates:
            return await pair.truth(lambda store: store.bucket_sums(user_id, span, bits=bits))
    elif pair.parts.graph.store.aggregates:
        return await pair.graph(lambda store: store.bucket_sums(user_id, span, bits=bits))
    sums: dict[int, BucketSum] = {}
    width = 1 << (BUCKET_BITS - bits)
    for low in range(span.low, span.high, width):
        small = [Span(low, min(low + width, span.high))]
        if of_truth:
            rows = await pair.truth(lambda store, small=small: store.bucket_rows(user_id, small))  # type: ignore[misc]  # mypy does not infer a default
        else:
            rows = await pair.graph(lambda store, small=small: store.bucket_rows(user_id, small))  # type: ignore[misc]  # mypy does not infer a default
        if rows:
            sums[low // width] = summed(rows)
    return sums


def summed(rows: Sequence[Head]) -> BucketSum:
    """Return the sums of rows."""
    digests, versions = [row.digest for row in rows], [row.version for row in rows]
    half = 2**32
    return BucketSum(
        len(rows),
        sum(digest // half for digest in digests),
        sum(digest % half for digest in digests),
        sum(version // half for version in versions),
        sum(version % half for version in versions),
    )


def _differing(vector: Sums, graph: Sums) -> set[int]:
    return {prefix for prefix in vector.keys() | graph.keys() if vector.get(prefix) != graph.get(prefix)}


def _part(prefix: int, bits: int, vector: Sums, graph: Sums) -> _Part:
    width = 1 << (BUCKET_BITS - bits)
    counts = [sums[prefix].count if prefix in sums else 0 for sums in (vector, graph)]
    return _Part(Span(prefix * width, (prefix + 1) * width), sum(counts), max(counts))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join neighbours, so that few spans are asked for."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and joined[-1].high == span.low:
            joined[-1] = Span(joined[-1].low, span.high)
        else:
            joined.append(span)
    return joined


def _total(sums: Sums) -> int:
    return sum(each.count for each in sums.values())
