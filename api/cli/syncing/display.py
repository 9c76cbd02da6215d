"""How far a run is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from sync import Progress
from sync.model import OnProgress

_PHASES = {
    "scan": "comparing",
    "edges": "comparing edges",
    "entities": "looking for what belongs to nobody",
    "memories": "comparing every property",
    "clear": "emptying",
    "walk": "writing",
    "index": "building the vector index",
    "catch_up": "catching up",
    "tombstones": "bringing deletes",
    "verify": "comparing both",
}
#: Phases that count memories up to the total; of the others only that they go on is known.
_COUNTED = ("scan", "walk")


@contextmanager
def display(console: Console) -> Iterator[OnProgress]:
    """Show progress on ``console`` (stderr) while the block runs."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with _bar(console) as bar:
        task = bar.add_task("", total=None, text="beginning")

        def update(progress: Progress) -> None:
            total = progress.total if progress.phase in _COUNTED else None
            bar.update(task, completed=progress.done, total=total, text=text_of(progress))

        yield update


def _bar(console: Console) -> Bar:
    text = TextColumn("{task.fields[text]}", markup=False)
    return Bar(SpinnerColumn(), BarColumn(32), text, TimeElapsedColumn(), console=console, transient=True)


def text_of(progress: Progress) -> str:
    """Return what is done, how much of it, how fast, and how long it will take."""
    what = _PHASES.get(progress.phase, progress.phase)
    if progress.phase not in _COUNTED:
        return what
    of = "" if progress.total is None else f" of {progress.total:,}"
    left = "" if progress.remaining_s is None else f", about {progress.remaining_s:,.0f} s left"
    return f"{what} {progress.done:,}{of}, {progress.rate:,.0f} a second{left}"
