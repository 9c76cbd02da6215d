"""When a backup is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.cli.backing import schedule
from sync.timing import timing_of, zone_of
from tests.backing import backed_up
from tests.contract.vector.making import AT_ONCE, a_write
from tests.integration.test_backing import elsewhere
from tests.integration.test_backing_damage import _resealed
from tests.moving import opened


async def test_a_backup_of_a_wrong_clock_stops_no_other(tmp_path: Path) -> None:
    """After a backup that says it was made in years to come, the next one is due within a day all the same."""
    timing = timing_of("--every", "0 2 * * *", zone=zone_of("UTC"))
    assert timing is not None
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        done = await backed_up(store, tmp_path)
    later = (datetime.now(UTC) + timedelta(days=4_000)).isoformat()
    _resealed(tmp_path / done.name, lambda said: said.update(started_at=later, finished_at=later))
    assert await schedule._due(tmp_path, timing) <= datetime.now(UTC) + timedelta(days=1)
