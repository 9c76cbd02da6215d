"""Batches, their pipeline, and the file of rejected lines."""

import asyncio
import io
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from api.cli.importing.batches import Batcher
from api.cli.importing.display import PlainDisplay
from api.cli.importing.entries import Fault, Item
from api.cli.importing.lines import Line
from api.cli.importing.pipeline import Import
from api.cli.importing.rejects import Rejects
from api.cli.importing.tally import Tally
from persistence.bulk import BulkCancelledError
from persistence.errors import BulkInterruptedError, VectorStoreUnavailableError
from persistence.ports.vector import WriteMode
from persistence.records import MemoryDraft
from persistence.results import Outcome, PersistenceResult, StorageStatus


def item(name: str, size: int = 1) -> Item:
    return Item(name, MemoryDraft(user_id="u", content=name, id=name), size)


def fault(number: int) -> Fault:
    return Fault(f"f:{number}", "why", Line("f.jsonl", number, b"bad %d" % number))


def batcher(entries: Iterable[Item | Fault], **options) -> Batcher:
    return Batcher((e for e in entries), **{"size": 2, "first_wins": True, "stop_at_fault": True, **options})


def batches(made: Batcher) -> list[tuple[list[str], int, int]]:
    found = []
    while batch := made.next():
        found.append(([i.label for i in batch.items], len(batch.faults), batch.repeated))
    return found


def test_batches_are_bounded_by_number_and_by_bytes():
    """A batch ends at its size, or where it holds many bytes."""
    entries = [item("a"), item("b"), item("c", 2**24), item("d")]
    assert batches(batcher(entries)) == [(["a", "b"], 0, 0), (["c"], 0, 0), (["d"], 0, 0)]


def test_nothing_behind_a_fault_is_read_where_it_stops_the_import():
    """With --on-error stop, what stands before the first fault is in the batch and nothing else follows."""
    assert batches(batcher([item("a"), fault(2), item("c")], size=9)) == [(["a"], 1, 0)]
    assert batches(batcher([item("a"), fault(2), item("c")], size=9, stop_at_fault=False)) == [(["a", "c"], 1, 0)]


def test_an_id_that_comes_again_is_left_alone_unless_it_replaces():
    """The first of two lines with one id is kept where what is there is left alone."""
    assert batches(batcher([item("a"), item("a")], size=9)) == [(["a"], 0, 1)]
    assert batches(batcher([item("a"), item("a")], size=9, first_wins=False)) == [(["a", "a"], 0, 0)]


def test_max_counts_what_is_read():
    """--max ends the reading after so many entries."""
    assert batches(batcher([item("a"), item("b"), item("c"), item("d")], limit=3)) == [
        (["a", "b"], 0, 0),
        (["c"], 0, 0),
    ]


@dataclass
class Recorder:
    """A store that records what it is given; ``fail`` is raised at that call."""

    fail: BaseException | None = None
    fail_at: int = -1
    stored: list[str] = field(default_factory=list)
    calls: int = 0

    async def store_many(self, items, *, mode):  # noqa: ARG002  # the port's name
        self.calls += 1
        if self.calls == self.fail_at:
            raise self.fail
        self.stored += [draft.id for draft in items]
        return [result(draft.id) for draft in items]


def result(name: str) -> PersistenceResult:
    return PersistenceResult(name, "u", Outcome.IN_STEP, 1, None, StorageStatus.OK)


def kept() -> bytes:
    return Path("f.rejected.jsonl").read_bytes()


def importing(store: Recorder, made: Batcher, rejects: Rejects | None = None) -> Import:
    console = Console(file=io.StringIO(), width=200)
    return Import(
        store=store,
        batcher=made,
        mode=WriteMode.KEEP_LIVE,
        progress=threading.local(),
        display=PlainDisplay(console, every=9e9),
        console=console,
        rejects=rejects,
        stop=threading.Event(),
        tally=Tally(),
    )


async def test_everything_before_the_fault_is_stored_and_nothing_behind_it():
    """The import stops at the first line that is none, and says which."""
    work = importing(store := Recorder(), batcher([item("a"), item("b"), item("c"), fault(4), item("e")]))
    await work.run()
    assert store.stored == ["a", "b", "c"]
    assert (work.tally.read, work.tally.stored, work.tally.rejected) == (4, 3, 1)
    assert "f:4: why" in work.console.file.getvalue()


async def test_skipped_lines_are_kept_verbatim(tmp_path, monkeypatch):
    """Rejected lines go to a file as they were, in order, and the rest is stored."""
    monkeypatch.chdir(tmp_path)
    entries = [fault(1), item("b"), fault(3), item("d"), fault(5)]
    with Rejects(None) as rejects:
        work = importing(store := Recorder(), batcher(entries, stop_at_fault=False), rejects)
        await work.run()
    assert store.stored == ["b", "d"]
    assert kept() == b"bad 1\nbad 3\nbad 5\n"


def test_a_file_of_rejected_lines_never_takes_the_place_of_another(tmp_path, monkeypatch):
    """Someone may be mending the file of the run before."""
    monkeypatch.chdir(tmp_path)
    Path("f.rejected.jsonl").write_text("being mended")
    with Rejects(None) as rejects:
        rejects.add([fault(1)])
    assert Path("f.rejected.jsonl").read_text() == "being mended"
    assert Path("f.rejected-2.jsonl").read_bytes() == b"bad 1\n"
    assert [str(path) for path in rejects.files] == ["f.rejected-2.jsonl"]


async def test_the_counts_are_right_after_a_failure():
    """What a broken bulk call acknowledged is counted, and the error that broke it is the one that is told."""
    cause = VectorStoreUnavailableError()
    broken = BulkInterruptedError({0: result("c")}, 2)
    broken.__cause__ = cause
    work = importing(Recorder(broken, fail_at=2), batcher([item(name) for name in "abcde"]))
    with pytest.raises(VectorStoreUnavailableError):
        await work.run()
    assert work.tally.stored == 3


async def test_the_counts_are_right_after_a_cancellation():
    """What a cancelled bulk call acknowledged is counted."""
    work = importing(
        Recorder(BulkCancelledError({0: result("c")}), fail_at=2), batcher([item(name) for name in "abcde"])
    )
    with pytest.raises(asyncio.CancelledError):
        await work.run()
    assert work.tally.stored == 3


async def test_a_cancelled_import_closes_its_source():
    """A source that was not read to its end is closed, whatever ended the import."""
    closed = threading.Event()
    reading = threading.Event()

    def entries():
        try:
            for number in range(10**9):
                reading.set()
                yield item(str(number))
        finally:
            closed.set()

    work = importing(Recorder(), Batcher(entries(), size=10, first_wins=True, stop_at_fault=True))
    task = asyncio.create_task(work.run())
    await asyncio.to_thread(reading.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
