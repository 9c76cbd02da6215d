"""What a migration did, in sentences."""

from __future__ import annotations

from typing import Any

from api.cli._output import Output, one_line
from api.cli._show import FAINT
from api.cli.syncing.words import number, took
from api.shapes import Json


def show(output: Output, done: dict[str, Any]) -> None:
    """Print what was done to each part: data to stdout, what to know and to do besides to stderr."""
    if output.as_json:
        output.data(done)
    else:
        if done["vector"]:
            show_move(output, done["vector"])
        if done["graph"]:
            output.line(_graph_sentence(done["graph"]))
    for note in done["vector"]["notes"] if done["vector"] else []:
        output.note(one_line(note))
    if done["graph"] and done["graph"].get("pending"):
        output.note("Try: diptych relay")


def show_move(output: Output, report: Json) -> None:
    """Print what a move of a truth did."""
    output.line(move_sentence(report))
    if not report["dry_run"] and report["complete"]:
        output.line(_numbers(report), FAINT)


def move_sentence(report: Json) -> str:
    """Return how both truths stand."""
    if report["dry_run"]:
        return f"{number(report['planned'], 'memory', 'memories')} would be copied, of {report['source']:,}."
    if not report["complete"]:
        return "The move did not come to its end; the same command takes it up."
    if report["in_step"]:
        return f"Both truths are the same: {number(report['source'], 'memory', 'memories')}, in {took(report)}."
    return f"The target is not the same: {report['behind']:,} behind, {report['others']:,} others."


def _numbers(report: Json) -> str:
    counts = (f"{report[name]:,} {name}" for name in ("copied", "deleted"))
    return f"{', '.join(counts)}, {number(report['rounds'], 'round', 'rounds')} of catching up"


def _graph_sentence(report: Json) -> str:
    if report.get("dry_run"):
        return f"The graph would be written from {number(report['memories'], 'memory', 'memories')}."
    if not report["complete"]:
        return "The graph was not written to its end; the same command takes it up."
    checked = "in step with truth" if report["in_step"] else "not in step with truth yet"
    written = report["rebuild"]["memories"] if report["rebuild"] else 0
    return f"The graph is {checked}; {number(written, 'memory was', 'memories were')} written anew."
