"""Tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.results import Report, Section


def show(console: Console, section: Section) -> None:
    """Print one section and whether its aims were reached."""
    names = list(dict.fromkeys(name for line in section.lines for name in line.figures))
    table = Table(title=section.title, title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for line in section.lines:
        table.add_row(line.side, *(_figure(line.figures.get(name)) for name in names))
    console.print(table)
    for note in section.notes:
        console.print(f"  {note}", style="dim")
    for target in section.targets:
        mark = "[green]met[/]" if target.met else "[bold red]MISSED[/]"
        console.print(f"  {mark}  {target.sentence()}")
    console.print()


def conclude(console: Console, report: Report) -> None:
    """Say at the end whether every aim was reached."""
    missed = report.missed
    if missed:
        console.print(f"[bold red]{len(missed)} targets were missed:[/]")
        for target in missed:
            console.print(f"  {target.sentence()}")
    elif any(section.targets for section in report.sections):
        console.print("[green]Every target was met.[/]")


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
