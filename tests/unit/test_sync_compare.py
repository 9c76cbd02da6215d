from __future__ import annotations

import itertools

import pytest

from persistence.ports.checking import EVERYTHING, BucketSum, GraphHead, Head, Span, Standing, summed
from persistence.ports.runs import Kind
from sync.compare import classify, visible
from sync.orphans import allowed
from sync.scan import SUMS_AT_ONCE, Sizes, Wanted, finer_bits, slices

LIVE, GONE, NOTHING, LISTED = (
    Standing(5, 77, pending=False),
    Standing(5, None, pending=False),
    Standing(None, None, pending=False),
    Standing(5, 77, pending=True),
)


@pytest.mark.parametrize(
    ("standing", "head", "kind"),
    [
        (LIVE, None, Kind.MISSING),
        (LIVE, GraphHead(5, 77, live=True), None),
        (LIVE, GraphHead(5, 78, live=True), Kind.CONTENT),
        (LIVE, GraphHead(4, 77, live=True), Kind.STALE),
        (LIVE, GraphHead(6, 77, live=True), Kind.AHEAD),
        (LIVE, GraphHead(4, None, live=False), Kind.MISSING),
        (LIVE, GraphHead(5, None, live=False), Kind.AHEAD),
        (LIVE, GraphHead(6, None, live=False), Kind.AHEAD),
        (GONE, None, None),
        (GONE, GraphHead(5, None, live=False), None),
        (GONE, GraphHead(4, None, live=False), None),
        (GONE, GraphHead(5, 77, live=True), Kind.ORPHAN),
        (NOTHING, GraphHead(9, 77, live=True), Kind.ORPHAN),
        (NOTHING, GraphHead(9, None, live=False), None),
        (NOTHING, None, None),
    ],
)
def test_what_both_sides_say_of_a_memory(standing: Standing, head: GraphHead | None, kind: Kind | None) -> None:
    """Each pair of states has one name, and the graph's tombstones are nobody's drift."""
    assert classify(standing, head) is kind


@pytest.mark.parametrize(
    ("standing", "head", "shown"),
    [
        (LIVE, GraphHead(5, 77, live=True), False),
        (LIVE, GraphHead(5, 77, live=False), False),
        (LIVE, GraphHead(5, 78, live=True), True),
        (LIVE, None, True),
        (GONE, GraphHead(5, None, live=False), False),
        (GONE, GraphHead(5, 77, live=True), True),
        (NOTHING, None, False),
    ],
)
def test_what_sums_show(standing: Standing, head: GraphHead | None, shown: bool) -> None:  # noqa: FBT001
    """Sums are over versions and digests as written down, whatever the labels say."""
    assert visible(standing, head) is shown


def test_sums_are_of_halves() -> None:
    """A digest and a version are summed in halves of 32 bits, so that no sum leaves 64 bits."""
    rows = [Head("u", str(i), 2**63 - 1 - i, 2**53 - 1 - i) for i in range(3)]
    high, low = 2**31 - 1, 2**32 - 1
    assert summed(rows) == BucketSum(3, 3 * high, 3 * low - 3, 3 * (2**21 - 1), 3 * low - 3)


@pytest.mark.parametrize("count", [1, 2, 64, 4_096])
def test_spans_cover_every_bucket_once(count: int) -> None:
    """However the buckets are divided, each is in one span."""
    spans = slices(count)
    assert (len(spans), spans[0].low, spans[-1].high) == (count, 0, 2**24)
    assert all(before.high == after.low for before, after in itertools.pairwise(spans))
    assert isinstance(spans[0], Span)


@pytest.mark.parametrize(("memories", "most"), [(0, 1), (1, 1), (10, 1), (11, 2), (500, 50), (10_001, 1_000)])
def test_how_many_orphans_may_go(memories: int, most: int) -> None:
    """A tenth of a tenant's memories, rounded up, and never more than a thousand."""
    assert allowed(memories) == most


@pytest.mark.parametrize(
    ("memories", "differing", "bits"),
    [(100_000, 100, 12), (1_000_000, 0, 12), (1_000_000, 100, 12), (1_000_000, 1_600, 15), (1_000_000, 4_096, 18)],
)
def test_many_differing_prefixes_are_compared_more_finely(memories, differing, bits):
    """Where reading all rows of what differs would cost more than sums by longer prefixes, these are asked for."""
    rows = differing * 2 * memories // 4_096
    wanted = Wanted(None, EVERYTHING, 12, memories)
    assert finer_bits(wanted, Sizes(memories, memories), differing, rows) == bits


@pytest.mark.parametrize(
    ("bits", "rows", "pieces"), [(18, 1_000_000, 8), (18, 100_000, 4), (15, 1_000_000, 1), (18, 0, 1)]
)
def test_many_sums_are_asked_for_in_pieces(bits: int, rows: int, pieces: int) -> None:
    """A comparison of many prefixes is divided between them, so that no answer is large, and nothing is left out."""
    every = Wanted("ann", EVERYTHING, bits, rows).summable()
    assert len(every) == pieces
    assert (every[0].span.low, every[-1].span.high) == (0, 2**24)
    assert all(before.span.high == after.span.low for before, after in itertools.pairwise(every))
    assert all(min(one.prefixes, one.rows) <= SUMS_AT_ONCE and one.user_id == "ann" for one in every)
