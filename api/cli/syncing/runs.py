"""`runs`: what checks, repairs and rebuilds there were, stopping one, and taking one up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from api.cli._output import one_line, styled
from api.cli._run import Cli, command
from api.cli._show import FAINT, ID_STYLE, short_time
from api.cli.syncing.lead import lead_on
from api.cli.syncing.options import RunId, Tenant
from api.cli.syncing.show import new_table, show
from api.cli.syncing.verdict import again
from api.shapes import cancelled_json
from sync import AsyncSyncService, Run, RunKind, RunState
from sync.asked import Asked
from sync.model import Scope
from sync.reports import run_json
from sync.service import MAX_LIMIT

app = typer.Typer(name="runs", no_args_is_help=True, help="The checks, repairs and rebuilds that there were, and are.")

_UNFINISHED = (RunState.INTERRUPTED, RunState.CANCELLED)
_SHOWN = 40


@command(app, "list")
async def list_(
    cli: Cli,
    *,
    kind: Annotated[RunKind | None, typer.Option("--kind", help="Only of this kind.", show_default=False)] = None,
    user: Tenant = None,
    state: Annotated[RunState | None, typer.Option("--state", help="Only in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
) -> None:
    """List runs, the newest first."""
    async with cli.service() as memories:
        sync = AsyncSyncService(memories)
        found = [run async for run in _runs(sync, limit + 1, kind=kind, user=user, state=state)]
    shown, more = found[:limit], len(found) > limit
    if cli.json:
        cli.output.data({"runs": [run_json(run) for run in shown], "more": more})
    elif shown:
        _show_list(cli, shown)
    if not shown:
        cli.output.note("There are none.")
    if more:
        cli.output.note(f"There are more: --limit {limit * 10}.")


async def _runs(
    sync: AsyncSyncService, limit: int, *, kind: RunKind | None, user: str | None, state: RunState | None
) -> AsyncIterator[Run]:
    """Yield runs, the newest first, up to ``limit``, page by page."""
    before = None
    while limit > 0:
        size = min(limit, MAX_LIMIT)
        page = await sync.list_runs(kind=kind, user_id=user, state=state, before=before, limit=size)
        for run in page:
            yield run
        if len(page) < size:
            return
        before, limit = page[-1].id, limit - size


def _show_list(cli: Cli, runs: list[Run]) -> None:
    table = new_table("run", "kind", "tenant", "state", "started", "found or done")
    for run in runs:
        table.add_row(
            Text(str(run.id), ID_STYLE),
            Text(run.kind.value),
            Text(_tenant(run)),
            Text(_state(run)),
            Text(short_time(run.started_at), FAINT),
            Text(_result(run)),
        )
    cli.output.table(table)


def _tenant(run: Run) -> str:
    return "all" if run.user_id is None else one_line(run.user_id, _SHOWN)


def _abandoned(run: Run) -> bool:
    """Say whether a run that is under way has no process any more: its lease has ended."""
    expires = run.lease_expires_at
    return run.state is RunState.RUNNING and expires is not None and expires < datetime.now(UTC)


def _state(run: Run) -> str:
    if _abandoned(run):
        return "died"
    return f"{run.state.value}, to be stopped" if _stopping(run) else run.state.value


def _stopping(run: Run) -> bool:
    return run.state is RunState.RUNNING and run.cancel_requested


def _result(run: Run) -> str:
    """Return the one number that tells most about a run."""
    report = run.report or {}
    report = report.get("after", report)
    if "error" in report:
        return one_line(str(report["error"]), _SHOWN)
    named = {RunKind.REPAIR: "planned" if report.get("dry_run") else "repaired", RunKind.REBUILD: "memories"}
    named[RunKind.MOVE] = "copied"
    name = named.get(run.kind, "found")
    incomplete = "" if report.get("complete", True) else ", incomplete"
    return f"{report[name]:,} {name}{incomplete}" if name in report else ""


@command(app, "show")
async def show_(cli: Cli, run_id: RunId) -> None:
    """Show one run: what was asked for, how far it is, what it found and did."""
    async with cli.service() as memories:
        run = await AsyncSyncService(memories).get_run(run_id)
    if cli.json:
        cli.output.data(run_json(run))
    else:
        _show_run(cli, run)
    if run.state in _UNFINISHED or _abandoned(run):
        cli.output.note(f"Try: {again(run)}")


def _show_run(cli: Cli, run: Run) -> None:
    for name, value in _facts(run):
        cli.output.line(styled((f"{name:<12}", FAINT), one_line(value)))
    if run.report and "run_id" in run.report:
        cli.output.line()
        show(cli.output, run.kind, dict(run.report))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield from (("run", str(run.id)), ("kind", run.kind.value), ("tenant", _tenant(run)), ("state", _state(run)))
    if asked := _asked(run):
        yield "asked", asked
    yield from (("started", short_time(run.started_at)), ("last heard", short_time(run.updated_at)))
    yield "attempts", str(run.attempts)
    if run.report and "error" in run.report:
        yield "error", str(run.report["error"])


def _asked(run: Run) -> str:
    """Return what was asked for otherwise than it is without an option."""
    unasked = Asked(Scope()).saved()
    given = {name: value for name, value in run.request.items() if value != unasked.get(name)}
    return ", ".join(f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in given.items())


@command(app)
async def cancel(cli: Cli, run_id: RunId) -> None:
    """Ask a run to stop, wherever it runs; it can be resumed."""
    async with cli.service() as memories:
        sync = AsyncSyncService(memories)
        before = await sync.get_run(run_id)
        run = await sync.cancel_run(run_id)
    shown = cancelled_json(before, run)
    if cli.json:
        cli.output.data(shown)
    else:
        cli.output.line(str(shown["status"]).replace("_", " "))
    if run.state is RunState.RUNNING:
        cli.output.note("It stops at the next point where it can.")


@command(app, "resume")
async def resume_(cli: Cli, run_id: RunId) -> int:
    """Take a run up where it was left: one that was interrupted or cancelled, or whose process died.

    The exit code is that of the command that began it.
    """
    return await lead_on(cli, run_id)
