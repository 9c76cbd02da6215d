"""`erase`: a tenant or a memory goes everywhere, and what remains is said."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli._confirm import confirmed
from api.cli._options import User
from api.cli._output import one_line
from api.cli._run import ATTENTION, DONE, TROUBLE, Cli, command
from api.cli.backing import passphrase as phrases
from api.cli.backing.passphrase import PassphraseFile
from api.cli.syncing.words import number
from sync.backing import Holding, holdings
from sync.erasing import ErasureReport, erase

app = typer.Typer()


@command(app, "erase")
async def erase_(
    cli: Cli,
    *,
    user: User,
    memory_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Only this memory of the user.", show_default=False)
    ] = None,
    backups: Annotated[
        list[Path] | None,
        typer.Option(
            "--backups",
            metavar="PATH",
            help="A folder of backups to look through. Repeat it for more.",
            show_default=False,
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> int:
    """Erase a user, or one memory, from truth, graph, inconsistencies and runs, and say which backups hold it still.

    What remains in the stores are tombstones: names without content, kept until no stale writer can bring the memory
    back. Backups are not changed: remove those that are named, or let retention do it.

    Exit code 1: something remains: in a backup, in the graph until the relay has run, or in a run that is under way.
    """
    passphrase = await phrases.given(passphrase_file)
    if not (yes or await _agreed(cli, user, memory_id)):
        cli.output.note("Nothing was erased.")
        return TROUBLE
    # First, for a folder that is not there is to be told before anything is gone.
    held = [
        (path, one)
        for path in backups or ()
        for one in await holdings(path, user, memory_id, passphrase=passphrase)
        if one.memories != 0
    ]
    async with cli.service() as memories:
        report = await erase(memories, user, memory_id)
    _show(cli, report, held)
    remains = held or report.pending or report.kept_runs or report.graph_unreached
    return ATTENTION if remains else DONE


async def _agreed(cli: Cli, user: str, memory_id: str | None) -> bool:
    what = f"everything of {one_line(user)}" if memory_id is None else f"{one_line(memory_id)} of {one_line(user)}"
    return await confirmed(cli, "An erasure", f"Erase {what}, for good?")


def _show(cli: Cli, report: ErasureReport, held: list[tuple[Path, Holding]]) -> None:
    if cli.json:
        cli.output.data(_json(report, held))
        return
    erased = f"{number(report.deleted, 'memory', 'memories')} erased"
    records = f"{number(report.runs, 'run', 'runs')}, {number(report.found, 'inconsistency', 'inconsistencies')}"
    cli.output.line(f"{erased}, {records} removed.")
    for sentence in _remains(report):
        cli.output.note(sentence)
    for path, one in held:
        many = one_line(one.trouble or "") if one.memories is None else number(one.memories, "memory", "memories")
        cli.output.line(f"{one_line(str(path / one.name))}: {many}")


def _remains(report: ErasureReport) -> list[str]:
    said = []
    if report.tombstones:
        said.append(f"{number(report.tombstones, 'tombstone', 'tombstones')} stay until collected: names, no content.")
    if report.pending:
        said.append(f"The graph still holds {report.pending:,} of them. Try: diptych relay")
    if report.graph_unreached:
        said.append("The graph could not be reached, and may hold what truth knows nothing of: repeat this later.")
    if report.kept_runs:
        said.append(f"{number(report.kept_runs, 'run', 'runs')} under way name them: repeat this when they are done.")
    return said


def _json(report: ErasureReport, held: list[tuple[Path, Holding]]) -> dict[str, Any]:
    backups = [{"path": str(path / one.name), "memories": one.memories, "trouble": one.trouble} for path, one in held]
    return {**asdict(report), "duration_ms": round(report.duration_ms, 3), "backups": backups}
