"""Reports for people: a sentence, then what differs by kind, then what to do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from rich.table import Table
from rich.text import Text

from api.cli._output import Output, one_line
from api.cli._show import FAINT
from api.cli.moving.words import show_move
from api.cli.syncing import words
from api.cli.syncing.verdict import hint, notes
from api.shapes import Json
from sync import Kind, RunKind

_EXAMPLES = 3
_SHOWN = 40


def tell(output: Output, kind: RunKind, report: Json) -> None:
    """Print a report: data to stdout, what to know and to do besides to stderr."""
    if output.as_json:
        output.data(report)
    else:
        show(output, kind, report)
    for note in notes(kind, report):
        output.note(one_line(note))
    if command := hint(kind, report):
        output.note(f"Try: {one_line(command)}")


def show(output: Output, kind: RunKind, report: Json) -> None:
    """Print the report of a run for a person."""
    _SHOW[kind](output, report)


def _show_check(output: Output, report: Json) -> None:
    output.line(words.check_sentence(report))
    _show_kinds(output, report)


def _show_repair(output: Output, report: Json) -> None:
    output.line(words.repair_sentence(report))
    if report["found"]:
        output.line(words.repair_numbers(report), FAINT)
    _show_kinds(output, report)


def _show_rebuild(output: Output, report: Json) -> None:
    output.line(words.rebuild_sentence(report))
    if not report["dry_run"]:
        output.line(words.rebuild_numbers(report), FAINT)


def _show_full(output: Output, report: Json) -> None:
    output.line(words.check_sentence(report["after"]))
    if report["repair"]["found"]:
        output.line(words.repair_sentence(report["repair"]))
        output.line(words.repair_numbers(report["repair"]), FAINT)
    _show_kinds(output, report["after"])


_SHOW: dict[RunKind, Callable[[Output, Json], None]] = {
    RunKind.CHECK: _show_check,
    RunKind.REPAIR: _show_repair,
    RunKind.REBUILD: _show_rebuild,
    RunKind.FULL: _show_full,
    RunKind.MOVE: show_move,
}


def _show_kinds(output: Output, report: Json) -> None:
    if not report["counts"]:
        return
    table = new_table("kind", "found", "for example", right=("found",))
    for kind, count in report["counts"].items():
        table.add_row(Text(kind), Text(f"{count:,}"), Text(_examples(report, kind), FAINT))
    output.table(table)


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a table without lines; a cell that has no room is cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=FAINT)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", no_wrap=True)
    return table


def _examples(report: Json, kind: str) -> str:
    if kind == Kind.UNKNOWN:
        return "parts that could not be read"
    found = (one for one in report["inconsistencies"] if one["kind"] == kind)
    everyone = report["user_id"] is None
    return ", ".join(_example(one, whose=everyone) for one in islice(found, _EXAMPLES))


def _example(one: Json, *, whose: bool) -> str:
    entity = one["entity"] or {}
    name = one["memory_id"] if one["memory_id"] is not None else f"{entity.get('key')} ({entity.get('type')})"
    return one_line(name, _SHOWN) + (f" of {one_line(one['user_id'], _SHOWN)}" if whose else "")
