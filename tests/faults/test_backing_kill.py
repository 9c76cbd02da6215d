"""kill -9 in the middle of a backup or a restore: nothing half is ever taken for whole, and the same call goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from persistence.vector.sqlite import SqliteStore
from sync.backing import backups, restore, verify
from tests.backing import CONFIG, backed_up, files
from tests.contract.vector.making import AT_ONCE, a_delete, a_write
from tests.moving import dump, fill, opened

pytestmark = pytest.mark.faults

BACKUP = {
    "early": ("add", 1),
    "in_it": ("add", 3),
    "parts": ("finish_parts", 1),
    "end": ("finish", 1),
    "name": ("rename", 1),
}
RESTORE = {
    "before_anything": ("before", "raise_floor", 1),
    "before_a_batch": ("before", "transfer", 2),
    "after_a_batch": ("after", "transfer", 2),
    "after_the_last": ("before", "end_load", 1),
}


async def killed(**task: Any) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.faults.backing_child", json.dumps(task))
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("incremental", [False, True], ids=["full", "incremental"])
@pytest.mark.parametrize("point", BACKUP)
async def test_a_killed_backup_is_none(point: str, tmp_path: Path, *, incremental: bool) -> None:
    """Killed at any point, a backup is not listed and changes no other; the next one removes what it left."""
    truth, path = tmp_path / "truth.db", tmp_path / "b"
    async with opened(lambda: SqliteStore(truth)) as store:
        await fill(store, 40)
        former = await backed_up(store, path)
        await store.write(a_write("since"), AT_ONCE)
        await killed(what="backup", truth=str(truth), path=str(path), point=BACKUP[point], incremental=incremental)
        assert [one.name for one in await backups(path)] == [former.name]
        assert any(name.startswith(".") for name in files(path)) or point == "early"
        done = await backed_up(store, path, incremental=incremental)
        assert not [name for name in files(path) if name.startswith(".")]
        assert len(await verify(path / done.name)) == 1 + incremental
        before = await dump(store)
    async with opened(lambda: SqliteStore(tmp_path / "new.db")) as target:
        await restore(target, path, config=CONFIG)
        assert (await dump(target))[:2] == before[:2]


@pytest.mark.parametrize("point", RESTORE)
async def test_a_killed_restore_is_repeated(point: str, tmp_path: Path) -> None:
    """Killed at any point, a restore is simply called again, and brings the rest."""
    path, truth = tmp_path / "b", tmp_path / "new.db"
    async with opened(lambda: SqliteStore(tmp_path / "truth.db")) as source:
        await fill(source, 400)
        await backed_up(source, path)
        await source.delete_many([a_delete(f"m{i:04}") for i in range(1, 30, 2)], AT_ONCE)
        await backed_up(source, path, incremental=True)
        before = await dump(source)
    await killed(what="restore", truth=str(truth), path=str(path), point=RESTORE[point])
    async with opened(lambda: SqliteStore(truth)) as target:
        report = await restore(target, path, config=CONFIG)
        assert report.in_step
        assert (await dump(target))[:2] == before[:2]
