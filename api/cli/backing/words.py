"""Backups and what became of them, in sentences."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from api.cli._output import Output, one_line
from api.cli._show import FAINT, short_time
from api.cli.syncing.words import number
from sync.backing import BackupReport, RestoreReport, Shown

_UNITS = ("B", "kB", "MB", "GB")
_STEP = 1_000


def size(count: float) -> str:
    """Return bytes as a person reads them."""
    for unit in _UNITS:
        if count < _STEP:
            return f"{count:,.0f} {unit}"
        count /= _STEP
    return f"{count:,.1f} TB"


def backup_sentence(report: BackupReport) -> str:
    """Return what a backup holds."""
    kind = "incremental" if report.parent else "full"
    memories = number(report.counts["memories"], "memory", "memories")
    inside = memories if report.parent is None else f"{memories} of {report.live:,}"
    return f"{report.name}: {kind}, {inside}, {size(report.bytes)}, in {report.duration_ms / 1_000:,.1f} s"


def consistency_sentence(report: BackupReport) -> str:
    """Return of which moment the memories are."""
    if report.consistency.value == "snapshot":
        return f"All of it is of one moment, {short_time(report.started_at)}."
    complete = datetime.fromtimestamp(report.complete_to / 1_000_000, UTC)
    return f"Each memory is whole; writes until {short_time(complete)} are complete, later ones may be."


def show_list(output: Output, there: list[Shown]) -> None:
    """Print a line for each backup."""
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    for name, justify in (("NAME", "left"), ("KIND", "left"), ("MEMORIES", "right"), ("SIZE", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("ENCRYPTED", no_wrap=True)
    for one in there:
        table.add_row(one_line(one.name), *_columns(one.report))
    output.table(table)


def _columns(report: BackupReport | None) -> tuple[str, ...]:
    if report is None:
        return ("damaged", "", "", "")
    kind = f"incremental, {report.chain}." if report.parent else "full"
    return kind, f"{report.live:,}", size(report.bytes), "yes" if report.encrypted else "no"


def restore_sentences(report: RestoreReport) -> list[str]:
    """Return what a restore did, or would do."""
    if report.dry_run:
        return [f"{report.name}: {number(report.planned, 'memory', 'memories')} of {report.live:,} would be written."]
    written = f"{report.written:,} written, {report.left:,} left alone, in {report.duration_ms / 1_000:,.1f} s"
    if not report.in_step:
        return [f"{report.wrong:,} memories of the backup are not there as they were.", written]
    newer = f" {report.newer:,} were there in a newer version, or are deleted." if report.newer else ""
    return [f"{report.name}: all {number(report.live, 'memory', 'memories')} are there.{newer}", written]
