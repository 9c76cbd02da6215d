"""Moving house between backends: online, at exact versions, refused where it must be, the source untouched."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from persistence.errors import EmbeddingMismatchError, InvalidInputError, RunEndedError, SyncError
from persistence.ports.outbox import Key
from persistence.ports.runs import RunKind, RunQuery, RunState
from persistence.ports.vector import GraphIdentity, VectorStore
from persistence.vector.memory import FileStorage, MemoryStore, Storage
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.sqlite import SqliteStore
from sync import Pace, Progress
from sync.moving import move
from tests.contract.vector.making import AT_ONCE, a_delete, a_write, settlement
from tests.moving import Make, Writer, config, dump, everything, fill, opened


@pytest.fixture
def houses(postgres_url: str, pg_schema: str, tmp_path: Path) -> dict[str, Make]:
    """Give a way to open each of four truths, empty at first."""
    storage, files = Storage(), FileStorage(tmp_path / "files")
    return {
        "pgvector": lambda: PgVectorStore(postgres_url, schema=pg_schema),
        "sqlite": lambda: SqliteStore(tmp_path / "truth.db"),
        "file": lambda: MemoryStore(files),
        "memory": lambda: MemoryStore(storage),
    }


@pytest.fixture
def two() -> tuple[Make, Make]:
    one, other = Storage(), Storage()
    return (lambda: MemoryStore(one)), (lambda: MemoryStore(other))


async def move_with_writer(source: VectorStore, target: VectorStore, seed: int) -> int:
    """Move while somebody writes at the source, then once more when nobody does."""
    async with Writer(source, seed) as writer:
        first = await move(source, target, config=config(), pace=Pace(rows_per_second=2_000))
        assert first.complete
        assert first.others == 0
        assert first.rounds > 0
    last = await move(source, target, config=config())
    assert last.in_step
    assert last.source == last.target
    return writer.done


@pytest.mark.long
async def test_round_the_houses_with_a_writer(houses: dict[str, Make], postgres_url: str, tmp_path: Path) -> None:
    """From pgvector to SQLite to files to memory to pgvector, each move with a writer going on: nothing is lost."""
    makes = [houses[name] for name in ("pgvector", "sqlite", "file", "memory")]
    for seed, (here, there) in enumerate(pairwise(makes)):
        async with opened(here) as source, opened(there) as target:
            if seed == 0:
                await fill(source)
            assert await move_with_writer(source, target, seed) > 20
            assert await dump(target) == await dump(source)
    async with opened(houses["memory"]) as source, opened(houses["pgvector"]) as back:
        # It holds what it held at first, which is older, and gives way.
        report = await move(source, back, config=config())
        assert report.in_step
        assert report.copied > 0
        assert await dump(back) == await dump(source)


async def test_the_source_is_untouched(houses: dict[str, Make]) -> None:
    """What the source holds is the same before and after: memories, tombstones, outbox, floor, runs."""
    for name in ("pgvector", "sqlite", "file"):
        storage = Storage()
        async with opened(houses[name]) as source, opened(lambda storage=storage: MemoryStore(storage)) as target:
            await fill(source, 40)
            before = await everything(source)
            assert (await move(source, target, config=config())).in_step
            assert await everything(source) == before
            assert await source.runs(RunQuery()) == []


async def test_a_dry_run_changes_nothing(two: tuple[Make, Make]) -> None:
    """A dry run says how much would be copied, and leaves the target as it is, without a run."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source, 40)
        report = await move(source, target, dry_run=True, config=config())
        assert (report.dry_run, report.run_id, report.in_step, report.planned) == (True, None, False, report.source)
        assert await dump(target) == ([], [], 0)
        assert await target.runs(RunQuery()) == []
        await move(source, target, config=config())
        await source.write(a_write("new"), AT_ONCE)
        again = await move(source, target, dry_run=True, config=config())
        assert (again.planned, again.copied, again.in_step) == (1, 0, False)


async def test_another_model_is_refused(two: tuple[Make, Make]) -> None:
    """Embeddings of another model or dimension are refused before anything is written."""
    for model, dimension in (("other", 8), ("test", 9)):
        storage = Storage()
        async with (
            opened(two[0]) as source,
            opened(lambda storage=storage: MemoryStore(storage), model, dimension) as target,
        ):
            await source.write(a_write("m1"), AT_ONCE)
            with pytest.raises(EmbeddingMismatchError):
                await move(source, target, config=config())
            assert await dump(target) == ([], [], 0)
            assert await target.runs(RunQuery()) == []


async def test_a_store_into_itself_is_refused(two: tuple[Make, Make]) -> None:
    """A store is not moved into itself, and a tenant has a name."""
    async with opened(two[0]) as source, opened(two[0]) as again, opened(two[1]) as target:
        with pytest.raises(SyncError, match="same store"):
            await move(source, again, config=config())
        with pytest.raises(InvalidInputError):
            await move(source, target, user_id="", config=config())


async def test_a_target_that_holds_something_else(two: tuple[Make, Make]) -> None:
    """Memories that the source lacks, or has older, are a reason to refuse; told to keep them, they stay."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source, 20)
        await target.write(a_write("mine", "carl"), AT_ONCE)
        await target.write(a_write("m0001", "ada", content="newer here"), AT_ONCE)
        before = await dump(target)
        with pytest.raises(SyncError, match="2 memories") as refused:
            await move(source, target, config=config())
        assert "--keep-others" in (refused.value.hint or "")
        assert await dump(target) == before
        report = await move(source, target, keep_others=True, config=config())
        assert (report.in_step, report.others, report.behind) == (True, 2, 0)
        there = await target.read([Key("carl", "mine"), Key("ada", "m0001")])
        assert there[Key("ada", "m0001")].memory.content == "newer here"  # type: ignore[union-attr]
        assert report.target == report.source + 1


async def test_one_tenant_alone(two: tuple[Make, Make]) -> None:
    """A move of one tenant takes its memories and tombstones, and nobody else's."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source, 40)
        report = await move(source, target, user_id="bob", config=config())
        memories, stones, _ = await dump(source)
        moved = await dump(target)
        assert report.in_step
        assert moved[0] == [m for m in memories if m.user_id == "bob"]
        assert moved[1] == [t for t in stones if t.user_id == "bob"]


async def test_what_was_deleted_and_forgotten_meanwhile_goes(two: tuple[Make, Make]) -> None:
    """A memory that was copied, then deleted at the source and its tombstone collected, is deleted in the target."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source, 40)
        gone: list[str] = []

        def forget(progress: Progress) -> None:
            if progress.phase == "walk" and not gone:
                gone.append("m0001")
                tasks.append(asyncio.ensure_future(delete()))

        async def delete() -> None:
            await source.delete_many([a_delete("m0001")], AT_ONCE)
            await source.settle([settlement(e) for e in await source.claim(limit=10_000, lease=60)])
            await source.collect_tombstones(await source.tombstones_due(age=-1, limit=1_000))

        tasks: list[asyncio.Future[None]] = []
        report = await move(source, target, config=config(), progress=forget, pace=Pace(rows_per_second=200))
        await asyncio.gather(*tasks)
        assert gone
        if not report.in_step:
            report = await move(source, target, config=config())
        assert [m.id for m in (await dump(target))[0]] == [m.id for m in (await dump(source))[0]]
        assert (await target.info()).floor == (await source.info()).floor > 0


async def test_a_graph_of_the_target_follows(two: tuple[Make, Make]) -> None:
    """Where the target has a graph, what is brought is listed for it, due now; where it has none, nothing is."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source, 20)
        await target.register_graph(GraphIdentity(UUID(int=1), "graph"), former=None)
        report = await move(source, target, config=config())
        stats = await target.outbox_stats()
        assert (stats.pending, stats.disabled) == (report.copied + report.deleted, 0)


async def test_a_cancelled_move_is_taken_up(two: tuple[Make, Make]) -> None:
    """A call that was cancelled leaves a run that the same call takes up at its cursor."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source)
        reached = asyncio.Event()
        task = asyncio.create_task(
            move(source, target, config=config(), progress=lambda _: reached.set(), pace=Pace(rows_per_second=300))
        )
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (left,) = await target.runs(RunQuery(RunKind.MOVE))
        assert left.state is RunState.INTERRUPTED
        report = await move(source, target, config=config())
        assert (report.run_id, report.in_step) == (left.id, True)
        assert await dump(target) == await dump(source)
        with pytest.raises(RunEndedError):
            await target.resume_run(left.id, holder=UUID(int=1), lease=1.0)


async def test_a_writer_that_never_rests_is_said(two: tuple[Make, Make]) -> None:
    """While a writer goes on, the move ends when the difference gets no smaller, and says how much is behind."""
    async with opened(two[0]) as source, opened(two[1]) as target:
        await fill(source)
        seen: list[Progress] = []

        def disturb(progress: Progress) -> None:
            seen.append(progress)
            tasks.append(asyncio.ensure_future(source.write(a_write(f"w{len(seen)}"), AT_ONCE)))

        tasks: list[asyncio.Future[object]] = []
        report = await move(source, target, config=config(), progress=disturb)
        await asyncio.gather(*tasks)
        assert report.complete
        assert report.behind < 10
        assert report.in_step == (report.behind == 0)
        assert bool(report.notes) == (report.behind > 0)
        assert {"walk", "catch_up", "verify"} <= {p.phase for p in seen}
        assert any(p.total and p.rate > 0 and p.remaining_s is not None for p in seen)
