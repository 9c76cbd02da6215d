"""Backups that go on by themselves: one whenever it is due since the newest that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio

from api.cli._run import Cli
from api.cli._show import short_time
from api.cli.serving.signals import until_signalled
from persistence.errors import InvalidInputError
from sync.backing import backups
from sync.timing import Timing, timing_of, zone_of

#: Seconds after which the clock is looked at again: it may have been set.
LOOK = 60.0


async def whenever_due(cli: Cli, path: Path, every: str, back_up: Callable[[], Awaitable[None]]) -> None:
    """Back up until a signal comes; one that is due already is made at once.

    An error ends it: whoever starts the process again has the backup tried again.
    """
    timing = timing_of("--every", every, zone=zone_of(cli.config().sync_timezone))
    if timing is None:
        raise InvalidInputError(
            "--every", every, 'it must be a cron expression such as "0 2 * * *", or a time such as 6h'
        )
    async with until_signalled():
        while True:
            await _until(cli, await _due(path, timing))
            await back_up()


async def _due(path: Path, timing: Timing) -> datetime:
    """Return when the next backup is due: now, where there is none."""
    there = await backups(path) if await anyio.Path(path).exists() else []
    started = [one.report.started_at for one in there if one.report is not None]
    now = datetime.now(UTC)
    # A backup of a clock that was wrong does not put the next one off until then.
    return timing.next(min(max(started), now), 0) if started else now


async def _until(cli: Cli, moment: datetime) -> None:
    if moment > datetime.now(UTC):
        cli.output.note(f"The next backup is due at {short_time(moment)}.")
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110  # nobody tells the time
        await asyncio.sleep(min(left, LOOK))
