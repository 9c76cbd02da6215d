"""kill -9 in the middle of a move: another call takes it up, does little twice, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from persistence.ports.runs import RunKind, RunQuery
from persistence.vector.pgvector import PgVectorStore
from persistence.vector.sqlite import SqliteStore
from sync import Progress
from sync.moving import move
from tests.contract.vector.making import AT_ONCE, a_delete, a_write
from tests.moving import USERS, config, dump, fill, opened

POINTS = {
    "before_a_page": ("before", "transfer", 4),
    "after_a_page": ("after", "transfer", 4),
    "after_a_save": ("after", "save_run", 2),
    "before_the_tombstones": ("before", "raise_floor", 1),
    "before_the_end": ("before", "finish_run", 1),
}


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_move_is_taken_up(point: str, postgres_url: str, pg_schema: str, tmp_path: Path) -> None:
    """Killed at any point, writes going on in between, the same call goes on in the same run to the same end."""
    async with (
        opened(lambda: PgVectorStore(postgres_url, schema=pg_schema)) as source,
        opened(lambda: SqliteStore(tmp_path / "truth.db")) as target,
    ):
        await fill(source)
        task = {"url": postgres_url, "schema": pg_schema, "path": str(tmp_path / "truth.db"), "point": POINTS[point]}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.move_child", json.dumps(task)), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert process.returncode == -signal.SIGKILL
        walked = max([at["done"] for at in map(json.loads, said.splitlines()) if at["phase"] == "walk"], default=0)
        await source.write_many([a_write(f"m{i:04}", USERS[0], digest=9) for i in range(0, 300, 3)], AT_ONCE)
        await source.delete_many([a_delete(f"m{i:04}", USERS[1]) for i in range(1, 150, 9)], AT_ONCE)
        before = await dump(source)
        first: list[Progress] = []
        report = await move(source, target, config=config(), progress=first.append)
        assert report.in_step
        runs = await target.runs(RunQuery(RunKind.MOVE))
        assert [run.id for run in runs] == [report.run_id]
        assert runs[0].attempts == 2
        assert await dump(target) == await dump(source) == before
        again = [at.done for at in first if at.phase == "walk"]
        if again:
            assert again[0] > walked - 100, "it went on where it was, a second's worth of pages at most done twice"
