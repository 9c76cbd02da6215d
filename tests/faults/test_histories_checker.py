"""The checker of histories, on histories that were made up: it finds what was planted, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.faults.histories import records
from tests.faults.histories.checker import Judgement, Seen, judge
from tests.faults.histories.history import Verdict
from tests.faults.histories.records import Ended, Key, Operation, Recorder

KEY = Key("alice", "m01")
NOTHING = Seen(None, None)


def did(do: str, began: float, ended: float, version: int | None = None, **more: Any) -> Operation:
    """Return an operation on the one memory; a write's name is its content."""
    name = more.pop("name", f"{do}{began:g}")
    given = {"content": name if do in {"put", "patch"} else None, "outcome": Ended.OK, **more}
    return Operation(name, do, KEY, began, ended, version=version, **given)


def judged(*operations: Operation, left: Seen = NOTHING) -> Judgement:
    return judge(operations, {KEY: left})


def found(*operations: Operation, left: Seen = NOTHING) -> set[str]:
    """Return what kinds of findings there are."""
    return {finding.verdict.value for finding in judged(*operations, left=left).findings}


A = did("put", 1, 2, 10, name="a", digest=7)
B = did("put", 3, 4, 20, name="b", digest=8)
GONE = did("delete", 3, 4, 20)
UNKNOWN = did("put", 3, math.inf, name="u", outcome=Ended.UNKNOWN)
UNKNOWN_DELETE = did("delete", 3, math.inf, outcome=Ended.UNKNOWN)


@pytest.mark.parametrize(
    ("operations", "left"),
    [
        ((), Seen(None, None)),
        ((A, B), Seen(20, "b", 8)),
        ((A, GONE), Seen(20, None)),
        ((A, GONE), Seen(None, None)),
        ((A, GONE, did("put", 5, 6, 30, name="c")), Seen(30, "c")),
        ((A, B), Seen(25, "b", 8)),
        ((A, did("put", 1, 2.5, 9, name="c")), Seen(10, "a", 7)),
    ],
    ids=["nothing", "two", "deleted", "collected", "restored", "raised", "overtaken"],
)
def test_what_is_as_acknowledged_is_stable(operations: tuple[Operation, ...], left: Seen) -> None:
    """What is left at the highest acknowledged version is stable; so are tombstones, and versions that were raised."""
    judgement = judged(*operations, left=left)
    assert judgement.findings == ()
    assert judgement.verdicts == {KEY: Verdict.STABLE}


@pytest.mark.parametrize("left", [Seen(None, None), Seen(15, None), Seen(10, None)])
def test_an_acknowledged_memory_that_is_gone_is_lost(left: Seen) -> None:
    """An acknowledged write with nothing in its place, and no delete that could have taken it, is lost."""
    assert found(A, left=left) == {"lost"}
    assert found(did("delete", 0, 0.5, 5), A, left=left) == {"lost"}


def test_one_of_two_writes_at_one_version_is_lost() -> None:
    """Two writes of a memory that are acknowledged at one version cannot both be there."""
    assert found(A, did("put", 1, 2, 10, name="c"), left=Seen(10, "a", 7)) == {"lost"}


@pytest.mark.parametrize("left", [Seen(10, "a", 7), Seen(20, "a", 7), Seen(30, "a", 7)])
def test_a_deleted_memory_that_is_there_is_resurrected(left: Seen) -> None:
    """What was deleted and is there, at whatever version, has risen; so has what was said not to have been written."""
    assert found(A, GONE, left=left) == {"resurrected"}


def test_a_write_that_failed_and_is_there_is_resurrected() -> None:
    """What a caller was told had not been written may not be there, nor what nobody ever wrote."""
    failed = did("put", 3, 4, name="f", outcome=Ended.FAILED)
    assert found(A, failed, left=Seen(20, "f")) == {"resurrected"}
    assert found(A, left=Seen(20, "nobody's")) == {"resurrected"}


@pytest.mark.parametrize("left", [Seen(10, "a", 7), Seen(20, "a", 7), Seen(30, "a", 7), Seen(20, "b", 7)])
def test_what_is_older_than_acknowledged_is_stale(left: Seen) -> None:
    """Older content is stale, under a newer version too; so is content that is not what was acknowledged at it."""
    assert found(A, B, left=left) == {"stale"}


def test_reads_are_judged_as_what_is_left_is() -> None:
    """A read that began after an acknowledgement may show nothing older, even where all is well in the end."""
    after, end = (5.0, 6.0), Seen(20, "b", 8)
    assert found(A, B, did("read", *after, 10, content="a", digest=7), left=end) == {"stale"}
    assert found(A, B, did("read", *after), left=end) == {"lost"}
    assert found(A, GONE, did("read", *after, 10, content="a"), left=Seen(20, None)) == {"resurrected"}
    assert found(A, B, did("read", *after, 20, content="b", digest=8), left=end) == set()


def test_a_read_beside_a_write_may_show_either() -> None:
    """A read that overlaps a write shows what was there before it or after it."""
    for seen in (did("read", 3.5, 5, 10, content="a"), did("read", 3.5, 5, 20, content="b", digest=8)):
        assert found(A, B, seen, left=Seen(20, "b", 8)) == set()
    assert found(A, GONE, did("read", 3.5, 5), left=Seen(20, None)) == set()


def test_a_read_bounds_later_reads() -> None:
    """What one read showed is known: a later one that shows something older is stale, though no write was answered."""
    seen = did("read", 5, 6, 20, content="u")
    assert found(A, UNKNOWN, seen, did("read", 7, 8, 10, content="a", digest=7), left=Seen(20, "u")) == {"stale"}
    assert found(A, UNKNOWN, seen, left=Seen(10, "a", 7)) == {"stale"}
    assert found(A, UNKNOWN, seen, left=Seen(20, "u")) == set()


@pytest.mark.parametrize("left", [Seen(10, "a", 7), Seen(20, "u"), Seen(30, "u")])
def test_an_unknown_write_may_have_happened_or_not(left: Seen) -> None:
    """A write whose outcome nobody was told is neither lost nor risen, whether it is there or not."""
    assert found(A, UNKNOWN, left=left) == set()


def test_an_unknown_write_hides_no_loss() -> None:
    """What was acknowledged after an unknown write must be there, unless the unknown one was ordered after it."""
    later = did("put", 5, 6, 30, name="c")
    assert found(A, UNKNOWN, later, left=Seen(40, "u")) == set()
    assert found(A, UNKNOWN, later, left=Seen(20, "u")) == {"stale"}
    assert found(A, UNKNOWN, later, left=Seen(None, None)) == {"lost"}


def test_an_unknown_delete_may_have_happened_or_not() -> None:
    """Where a delete's outcome is unknown, the memory may be there or not, but only from its beginning on."""
    assert found(A, UNKNOWN_DELETE, left=Seen(10, "a", 7)) == set()
    assert found(A, UNKNOWN_DELETE, left=Seen(20, None)) == set()
    assert found(A, UNKNOWN_DELETE, did("read", 2.2, 2.5), left=Seen(20, None)) == {"lost"}


def test_a_later_write_goes_above_an_earlier_one() -> None:
    """A write that began after another was acknowledged and was given a lower version is stale."""
    assert found(A, did("put", 3, 4, 9, name="c"), left=Seen(10, "a", 7)) == {"stale"}


def test_an_expected_version_is_the_one_replaced() -> None:
    """A write that expected a version and went above a newer one undid it unseen."""
    beside = did("put", 2.5, 6, 15, name="c")
    assert found(A, beside, did("put", 3, 5, 20, name="d", expected=10), left=Seen(20, "d")) == {"stale"}
    assert found(A, beside, did("put", 3, 5, 20, name="d", expected=15), left=Seen(20, "d")) == set()


def test_a_patch_is_put_on_what_is_there() -> None:
    """A patch that keeps fields of a put which another had replaced has undone that other one unseen."""
    for kept, verdicts in (("a", {"stale"}), ("b", set())):
        patch = did("patch", 5, 6, 30, name="p", kept=kept)
        assert found(A, B, patch, left=Seen(30, "p", None, "b")) == verdicts
        assert found(A, B, did("patch", 5, 6, 30, name="p"), left=Seen(30, "p", None, kept)) == verdicts


def test_what_found_nothing_saw_nothing() -> None:
    """A delete with nothing to do and an update of what is not there say that nothing is there, as a read does."""
    idle = did("delete", 5, 6, changed=False)
    missed = did("patch", 5, 6, outcome=Ended.FAILED, error="MemoryNotFoundError")
    for seen in (idle, missed):
        assert found(A, seen, left=Seen(10, "a", 7)) == {"lost"}
        assert found(A, GONE, seen, left=Seen(20, None)) == set()


def test_a_memory_is_judged_by_its_worst() -> None:
    """A memory that was stale once and is lost in the end counts as lost, and others beside it as what they are."""
    other = Key("bob", "m01")
    history = [A, B, did("read", 5, 6, 10, content="a", digest=7)]
    judgement = judge(history, {KEY: Seen(None, None), other: Seen(None, None)})
    assert judgement.verdicts == {KEY: Verdict.LOST, other: Verdict.STABLE}
    assert (judgement.count(Verdict.LOST), judgement.count(Verdict.STALE)) == (1, 0)


def test_a_record_that_was_cut_off_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    """What was begun and not ended is unknown; half a line, of a process that was killed, says nothing."""
    with Recorder(tmp_path / "w0.jsonl") as recorder:
        recorder.began([{"name": "a", "do": "put", "key": KEY, "content": "a"}])
        recorder.began([{"name": "b", "do": "put", "key": KEY, "content": "b"}])
        recorder.ended([{"name": "a", "outcome": Ended.OK, "version": 10}])
    half = json.dumps({"name": "b", "outcome": Ended.OK})
    with (tmp_path / "w0.jsonl").open("a", encoding="utf-8") as file:
        file.write(half)
    first, second = records.read(tmp_path)
    assert (first.outcome, first.version, first.key) == (Ended.OK, 10, KEY)
    assert (second.outcome, second.ended) == (Ended.UNKNOWN, math.inf)
    assert first.began <= first.ended
