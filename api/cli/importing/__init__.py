"""``diptych import``: JSON lines, or a repository's history, into both stores."""

from __future__ import annotations

import asyncio
import threading

import typer

from api.cli._run import ATTENTION, DONE, Cli, command
from api.cli.importing.job import Job
from api.cli.importing.options import (
    DefaultUser,
    Files,
    Git,
    KeepDeleted,
    Max,
    OnError,
    OnErrorOption,
    RejectedFile,
    Request,
    Since,
    Update,
    open_input,
)
from api.cli.moving.restore import Restore

app = typer.Typer()


@command(app, "import")
async def import_(
    cli: Cli,
    files: Files = None,
    git: Git = None,
    user: DefaultUser = None,
    on_error: OnErrorOption = OnError.STOP,
    rejected: RejectedFile = None,
    limit: Max = None,
    since: Since = None,
    *,
    update: Update = False,
    keep_deleted: KeepDeleted = False,
) -> int:
    """Import JSON lines, or a git repository's history, as memories.

    A memory a line: {"user_id", "content"} and, as you like, "id", "agent_id", "run_id", "metadata", "entities",
    "relationships", "embedding", "created_at". A line without an id gets one derived from what it says, so importing
    the same file again stores nothing; after an interruption the same command takes up where it was.

    A full export (`diptych export --full`) is known by its first line: memories come back at the versions that they
    had, deleted ones are deleted again, and what is newer in the store is left alone.

    Exit code 1: some lines were rejected.
    """
    request = Request(tuple(files or ()), git, user, on_error, rejected, update, keep_deleted, limit, since)
    request.check()
    job = await _prepare(cli, request)
    if job.found.full is not None:
        return await _restore(cli, Restore(job.found.full, job.stop))
    async with cli.service() as service:
        try:
            await job.run(service)
        finally:
            _report(cli, job)
    return ATTENTION if job.tally.rejected else DONE


async def _prepare(cli: Cli, request: Request) -> Job:
    config = cli.config()
    stop = threading.Event()
    console = cli.output.err
    try:
        found = await asyncio.to_thread(open_input, request, config, stop, count=console.is_terminal)
    except asyncio.CancelledError:
        stop.set()  # the thread may be waiting for a first line
        raise
    if request.git and not request.user:
        cli.output.note(f"Importing into the tenant {found.user_id}; --user names another.")
    return Job(request, found, stop, console, config.batch_size)


async def _restore(cli: Cli, restore: Restore) -> int:
    """Bring a full export in, and say what was done, also where that was interrupted."""
    try:
        async with cli.service() as service:
            await restore.run(service)
    finally:
        if cli.json:
            cli.output.data(restore.tally.as_json())
        else:
            cli.output.line(f"{restore.tally.sentence()}.")
    if restore.tally.pending:
        cli.output.note("The graph has still to be brought up to the pending ones. Try: diptych relay")
    return DONE


def _report(cli: Cli, job: Job) -> None:
    """Say what was done, also where the import was interrupted or failed: what was stored stays stored."""
    if cli.json:
        cli.output.data(_summary(job))
    else:
        cli.output.line(f"{job.tally.sentence()}.")
    for hint in _hints(job):
        cli.output.note(hint)


def _summary(job: Job) -> dict[str, object]:
    files = [str(path) for path in job.rejects.files] if job.rejects else []
    return {**job.tally.as_json(), "complete": job.complete, "rejected_files": files}


def _hints(job: Job) -> list[str]:
    hints = []
    if not job.finished:
        hints.append("It was not finished. What was stored stays; the same command takes up where it was.")
        if job.index_put_off:
            hints.append("The vector index was put off and is still to be built. Try: diptych schema upgrade")
    elif job.tally.rejected and not job.rejects:
        hints.append("Nothing behind the rejected line was read. Try: mend it, or --on-error skip")
    if job.rejects and job.rejects.files:
        names = " ".join(str(path) for path in job.rejects.files)
        hints.append(f"The rejected lines are in {names}. Try: mend them, then diptych import {names}")
    if job.tally.pending:
        hints.append("The graph has still to be brought up to the pending ones. Try: diptych relay")
    return hints
