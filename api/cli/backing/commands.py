"""`backup`: making backups, listing them, reading them to the last byte."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli._output import one_line
from api.cli._run import ATTENTION, DONE, Cli, command
from api.cli._show import FAINT
from api.cli.backing import passphrase as phrases
from api.cli.backing.bar import counting
from api.cli.backing.group import UNNAMED, WithUnnamed
from api.cli.backing.passphrase import PassphraseFile
from api.cli.backing.schedule import whenever_due
from api.cli.backing.words import backup_sentence, consistency_sentence, show_list
from persistence.errors import BackupDamagedError
from sync.backing import LONGEST, Keep, Shown, Wish, as_json, back_up, backups, found, is_encrypted, prune, verify

app = typer.Typer(
    name="backup",
    cls=WithUnnamed,
    no_args_is_help=True,
    help="Back the truth up, with versions and deletes: `diptych backup PATH` is `diptych backup create PATH`.",
)

Folder = Annotated[
    Path, typer.Argument(metavar="PATH", help="The folder of backups; made where it is not there.", show_default=False)
]
One = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="One backup; or a folder of backups, of which the newest is meant.", show_default=False
    ),
]


def _keep(name: str, what: str) -> Any:
    return typer.Option(name, metavar="N", min=0, help=what, rich_help_panel="What stays")


@command(app, UNNAMED)
async def create(
    cli: Cli,
    path: Folder,
    *,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental", help="Only what the newest backup there does not have; without one there, all of it."
        ),
    ] = False,
    longest: Annotated[
        int,
        typer.Option(
            "--chain", metavar="N", min=1, help="So many backups at most stand on one another; then a full one."
        ),
    ] = LONGEST,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Ask for a passphrase. One that is given encrypts in any case.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    keep: Annotated[int, _keep("--keep", "Keep so many of the newest, and remove the others afterwards.")] = 0,
    keep_daily: Annotated[int, _keep("--keep-daily", "Keep the newest of each of so many days.")] = 0,
    keep_weekly: Annotated[int, _keep("--keep-weekly", "Keep the newest of each of so many weeks.")] = 0,
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            metavar="WHEN",
            help='Go on until SIGTERM, and back up whenever it is due: "0 2 * * *" (in DIPTYCH_SYNC_TIMEZONE), or 6h.',
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a backup of the truth into a folder of backups, while everything goes on.

    Of PostgreSQL, SQLite and the stores of one process it is one moment; of Qdrant each memory is whole, and the
    manifest says up to which version all of them are there. Runs, inconsistencies and the outbox are in it, too; the
    graph is not: it is projected from the truth again. A backup appears under its name once it is whole.
    """
    passphrase = await phrases.chosen(cli, passphrase_file, encrypt=encrypt)
    wish = Wish(incremental=incremental, longest=longest, passphrase=passphrase)
    policy = Keep(keep, keep_daily, keep_weekly)
    if every is None:
        await _back_up(cli, path, wish, policy)
    else:
        await whenever_due(cli, path, every, lambda: _back_up(cli, path, wish, policy))


async def _back_up(cli: Cli, path: Path, wish: Wish, policy: Keep) -> None:
    async with cli.service(graph_url="none://", auto_upgrade=False) as service:
        store = service.parts.truth.store
        with counting(cli.output.err, "reading") as progress:
            report = await back_up(store, path, wish, config=cli.config(), progress=progress)
        removed = await prune(path, policy, (await store.info()).store_id) if policy.wanted else []
    if cli.json:
        cli.output.data({**as_json(report), "path": str(path / report.name), "removed": removed})
        return
    cli.output.line(one_line(backup_sentence(report)))
    cli.output.line(consistency_sentence(report), FAINT)
    for name in removed:
        cli.output.note(f"Removed {one_line(name)}.")


@command(app, "list")
async def list_(cli: Cli, path: Folder) -> int:
    """List the backups of a folder, the oldest first.

    Exit code 1: a manifest there cannot be read.
    """
    there = await backups(path)
    if cli.json:
        cli.output.data([_shown_json(one) for one in there])
    elif there:
        show_list(cli.output, there)
    else:
        cli.output.note("There are none.")
    for one in there:
        if one.trouble:
            cli.output.note(one_line(one.trouble))
    return ATTENTION if any(one.trouble for one in there) else DONE


def _shown_json(one: Shown) -> dict[str, Any]:
    return {"name": one.name, "trouble": one.trouble, **(as_json(one.report) if one.report else {})}


@command(app, "verify")
async def verify_(
    cli: Cli,
    path: One,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="All backups of the folder, each with what it stands on.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Read a backup, and those it stands on, to the last row, without any store.

    Exit code 1: one is damaged or incomplete.
    """
    folders = [path / one.name for one in await backups(path)] if every else [await asyncio.to_thread(found, path)]
    results = [await _verified(cli, folder, passphrase_file) for folder in folders]
    if cli.json:
        cli.output.data({"backups": results, "damaged": sum(not one["whole"] for one in results)})
    return DONE if all(one["whole"] for one in results) else ATTENTION


async def _verified(cli: Cli, folder: Path, file: Path | None) -> dict[str, Any]:
    try:
        encrypted = await asyncio.to_thread(is_encrypted, folder)
        links = await verify(folder, await phrases.wanted(cli, file, encrypted=encrypted))
    except BackupDamagedError as error:
        if not cli.json:
            cli.output.line(f"{one_line(folder.name)} is damaged: {one_line(error.message)}")
        return {"name": folder.name, "whole": False, "trouble": error.message, "chain": []}
    if not cli.json:
        cli.output.line(f"{one_line(folder.name)} is whole.")
    return {"name": folder.name, "whole": True, "trouble": None, "chain": [link.name for link in links]}
