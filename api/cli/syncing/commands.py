"""`check`, `repair`, `rebuild`, `sync`: where the graph is not what truth says, and bringing it there."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from api.cli._confirm import confirmed
from api.cli._output import one_line
from api.cli._run import TROUBLE, Cli, command
from api.cli.syncing.lead import lead
from api.cli.syncing.options import (
    DepthOption,
    DryRun,
    Force,
    Ids,
    Limit,
    MaxResponse,
    Rate,
    StrategyOption,
    Tenant,
    checked_ids,
    pace,
)
from persistence.errors import PersistenceError
from sync import Depth, RunKind, Strategy

app = typer.Typer()

LIMIT = 100


@command(app)
async def check(
    cli: Cli,
    *,
    depth: DepthOption = Depth.QUICK,
    user: Tenant = None,
    memory_id: Ids = None,
    limit: Limit = LIMIT,
    rate: Rate = None,
    max_response: MaxResponse = None,
) -> int:
    """Compare both stores, both ways, and say where the graph is not what truth says.

    Changes nothing. What is pending is no inconsistency: `diptych relay` brings the graph up to it.

    Exit code 1: there are inconsistencies. 2: not everything could be read.
    """
    ids = checked_ids("diptych check", user, memory_id)
    gently = pace(rate, max_response)
    return await lead(
        cli,
        RunKind.CHECK,
        user,
        lambda sync, progress: sync.check_consistency(
            depth, user_id=user, ids=ids, limit=limit, pace=gently, progress=progress
        ),
    )


@command(app)
async def repair(
    cli: Cli,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this it is a plan only.")] = False,
    depth: DepthOption = Depth.QUICK,
    user: Tenant = None,
    memory_id: Ids = None,
    run: Annotated[
        UUID | None,
        typer.Option(
            "--run", metavar="ID", help="Mend what this check found, instead of checking anew.", show_default=False
        ),
    ] = None,
    strategy: StrategyOption = Strategy.TRUTH_WINS,
    force: Force = False,
    limit: Limit = LIMIT,
    rate: Rate = None,
    max_response: MaxResponse = None,
) -> int:
    """Say what would bring the graph to what truth says; with --apply, do it.

    Every memory is looked at afresh before it is touched, and a second repair changes nothing. Orphans, which truth
    does not have, are deleted up to 1,000 and 10 % of a tenant's memories; beyond that only with --force.

    Exit code 1: something is planned, or was refused, or the graph did not take it. 2: not everything could be read.
    """
    ids = checked_ids("diptych repair", user, memory_id)
    gently = pace(rate, max_response)
    return await lead(
        cli,
        RunKind.REPAIR,
        user,
        lambda sync, progress: sync.repair_inconsistencies(
            depth,
            user_id=user,
            ids=ids,
            dry_run=not apply,
            strategy=strategy,
            force=force,
            run_id=run,
            limit=limit,
            pace=gently,
            progress=progress,
        ),
    )


@command(app)
async def rebuild(
    cli: Cli,
    *,
    user: Tenant = None,
    clear_existing: Annotated[
        bool,
        typer.Option(
            "--clear-existing",
            help="Empty the graph of --user first. Reads of the graph miss what is not there again until it is done.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before emptying the graph.")] = False,
    re_extract: Annotated[
        bool, typer.Option("--re-extract", help="Find the entities in the content anew, where they were found there.")
    ] = False,
    dry_run: DryRun = False,
    force: Force = False,
    rate: Rate = None,
    max_response: MaxResponse = None,
) -> int:
    """Write the graph anew from truth, of one tenant or of all, while everything goes on.

    What others write meanwhile wins. A rebuild that was interrupted is taken up where it was by the same command.

    Exit code 1: some orphans were refused, because they are too many. 2: it did not come to its end.
    """
    if clear_existing and not await _may_clear(cli, user, asked=yes or dry_run):
        cli.output.note("Nothing was changed.")
        return TROUBLE
    gently = pace(rate, max_response)
    return await lead(
        cli,
        RunKind.REBUILD,
        user,
        lambda sync, progress: sync.rebuild_graph(
            user_id=user,
            clear_existing=clear_existing,
            re_extract=re_extract,
            dry_run=dry_run,
            force=force,
            pace=gently,
            progress=progress,
        ),
    )


async def _may_clear(cli: Cli, user: str | None, *, asked: bool) -> bool:
    """Say what emptying a graph means, and ask unless that was done. Raises PersistenceError."""
    if user is None:
        raise PersistenceError(
            "--clear-existing empties the graph of one tenant, so it takes --user.", hint="diptych rebuild --help"
        )
    cli.output.note(f"Reads of the graph miss memories of {one_line(user)} until the rebuild is done.")
    return asked or await confirmed(cli, "Emptying a graph", f"Empty the graph of {one_line(user)}?")


@command(app)
async def sync(
    cli: Cli,
    *,
    depth: DepthOption = Depth.QUICK,
    user: Tenant = None,
    dry_run: DryRun = False,
    strategy: StrategyOption = Strategy.TRUTH_WINS,
    force: Force = False,
    limit: Limit = LIMIT,
    rate: Rate = None,
    max_response: MaxResponse = None,
) -> int:
    """Work off what is pending, check, repair, and check again: all of it in one, for cron.

    Exit code 1: inconsistencies are left. 2: not everything could be read.
    """
    gently = pace(rate, max_response)
    return await lead(
        cli,
        RunKind.FULL,
        user,
        lambda sync, progress: sync.full_sync(
            depth,
            user_id=user,
            dry_run=dry_run,
            strategy=strategy,
            force=force,
            limit=limit,
            pace=gently,
            progress=progress,
        ),
    )
