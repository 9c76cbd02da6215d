"""One run, from the open service to the exit code: its progress, its report, and how to go on where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from api.cli._run import Cli
from api.cli.syncing.display import display
from api.cli.syncing.show import tell
from api.cli.syncing.verdict import as_json, exit_code, resume
from sync import AsyncSyncService, Progress, RunKind, RunState
from sync.model import OnProgress
from sync.service import Report

Work = Callable[[AsyncSyncService, OnProgress], Awaitable[Report]]


async def lead(cli: Cli, kind: RunKind, user: str | None, work: Work) -> int:
    """Do a run of this kind and tenant, tell what it reports, and return the exit code."""
    async with cli.service() as memories:
        sync = AsyncSyncService(memories)
        report = await _through(cli, sync, work, lambda: _newest(sync, kind, user))
    return told(cli, report)


async def lead_on(cli: Cli, run_id: UUID) -> int:
    """Take a run up, tell what it reports, and return the exit code."""

    async def known() -> UUID:
        return run_id

    async with cli.service() as memories:
        sync = AsyncSyncService(memories)
        report = await _through(cli, sync, lambda sync, progress: sync.resume_run(run_id, progress=progress), known)
    return told(cli, report)


def told(cli: Cli, report: Report) -> int:
    """Tell what a run reports, and return the exit code."""
    kind, shown = as_json(report)
    tell(cli.output, kind, shown)
    return exit_code(kind, shown)


async def _through(cli: Cli, sync: AsyncSyncService, work: Work, find: Callable[[], Awaitable[UUID | None]]) -> Report:
    """Do the work; where it is stopped, say how to go on with the run, which ``find`` finds before it has spoken."""
    seen: list[UUID] = []
    with display(cli.output.err) as show:

        def progress(now: Progress) -> None:
            seen[:] = [now.run_id]
            show(now)

        try:
            return await work(sync, progress)
        except asyncio.CancelledError:
            stopped = seen[0] if seen else await find()
            if stopped is not None:
                cli.output.note(f"Try: {resume(stopped)}")
            raise


async def _newest(sync: AsyncSyncService, kind: RunKind, user: str | None) -> UUID | None:
    """Return the newest run of a kind and tenant (``user`` None: of all), if it was interrupted."""
    runs = await sync.list_runs(kind=kind, user_id=user or "", limit=1)
    return next((run.id for run in runs if run.state is RunState.INTERRUPTED), None)
