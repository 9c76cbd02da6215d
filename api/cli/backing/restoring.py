"""`restore`: a backup comes back into a truth."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.cli._output import one_line
from api.cli._run import ATTENTION, DONE, Cli, command
from api.cli._show import FAINT
from api.cli.backing import passphrase as phrases
from api.cli.backing.bar import counting
from api.cli.backing.commands import One
from api.cli.backing.passphrase import PassphraseFile
from api.cli.backing.words import restore_sentences
from persistence.gates import GraphRole
from sync.backing import RestoreReport, as_json, found, is_encrypted, restore

app = typer.Typer()


@command(app, "restore")
async def restore_(
    cli: Cli,
    path: One,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    passphrase_file: PassphraseFile = None,
) -> int:
    """Bring a backup back, into an empty truth or by version into one that has something: nothing newer gives way.

    Every byte of the backup, and of those it stands on, is checked before anything is written; at the end all memories
    are compared with it by their digests. The same command may be repeated, also after it was killed. The graph is not
    restored: what was written is listed for it, and `diptych relay` brings it up.

    Exit code 1: what was in the backup is not there at the end.
    """
    folder = await asyncio.to_thread(found, path)
    encrypted = await asyncio.to_thread(is_encrypted, folder)
    passphrase = await phrases.wanted(cli, passphrase_file, encrypted=encrypted)
    async with cli.service() as service:
        graph = service.parts.graph.role is GraphRole.REGISTERED
        with counting(cli.output.err, "writing") as progress:
            report = await restore(
                service.parts.truth.store,
                folder,
                passphrase=passphrase,
                dry_run=dry_run,
                graph=graph,
                config=cli.config(),
                progress=progress,
            )
    _show(cli, report)
    return DONE if report.in_step else ATTENTION


def _show(cli: Cli, report: RestoreReport) -> None:
    if cli.json:
        cli.output.data(as_json(report))
    else:
        first, *rest = restore_sentences(report)
        cli.output.line(one_line(first))
        for line in rest:
            cli.output.line(one_line(line), FAINT)
    if report.pending:
        cli.output.note(f"{report.pending:,} are listed for the graph.")
        cli.output.note("Try: diptych relay")
