"""Tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.results import Report, Section


def show(console: Console, section: Section) -> None:
    """Print one section and whether its aims were reached."""
    names = list(dict.fromkeys(name for line in section.lines for name in line.figures))
    table = Table("", *(name.replace("_", " ") for name in names))
    for column in table.columns[1:]:
        column.justify = "right"
    for line in section.lines:
        table.add_row(line.side, *(_figure(line.figures.get(name)) for name in names))
    console.print(f"\n[bold]{section.title}[/]")
    if section.lines:
        console.print(table)
    for note in section.notes:
        console.print(f"  {note}", style="dim")
    for target in section.targets:
        mark = "[green]met[/]   " if target.met else "[bold red]MISSED[/]"
        console.print(f"  {mark} {target.sentence()}")


def conclude(console: Console, report: Report) -> None:
    """Say at the end whether every aim was reached."""
    missed = report.missed
    console.print()
    if missed:
        console.print(f"[bold red]{len(missed)} of the targets missed:[/]")
        for target in missed:
            console.print(f"  {target.sentence()}")
    elif any(section.targets for section in report.sections):
        console.print("[green]Every target was met.[/]")


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
