"""How far an import is: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from api.cli.importing.entries import Progress
from api.cli.importing.tally import Tally

PLAIN_EVERY_S = 5.0


class Display(Protocol):
    """What shows how far an import is."""

    def update(self, tally: Tally, progress: Progress) -> None:
        """Show the counts as they are now."""
        ...

    def phase(self, text: str) -> None:
        """Show that something else is under way now, of unknown length."""
        ...


class PlainDisplay:
    """A line every ``every`` seconds, on a console that is no terminal."""

    def __init__(self, console: Console, every: float = PLAIN_EVERY_S) -> None:
        self._console = console
        self._every = every
        self._last = time.monotonic()

    def update(self, tally: Tally, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._console.print(f"{tally.sentence()}, {rate(tally):,.0f} a second{_left(tally, progress)}")

    def phase(self, text: str) -> None:
        self._console.print(text)


class BarDisplay:
    """A bar with the rate and the remaining time."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, text="reading")

    def update(self, tally: Tally, progress: Progress) -> None:
        rejected = f", {tally.rejected:,} rejected" if tally.rejected else ""
        text = f"{tally.read:,} read{rejected}, {rate(tally):,.0f} a second"
        self._bar.update(self._task, completed=progress.done, total=progress.total, text=text)

    def phase(self, text: str) -> None:
        self._bar.update(self._task, visible=False)
        self._task = self._bar.add_task("", total=None, text=text)


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """Show progress on ``console`` (stderr) while the block runs."""
    bar = _bar(console) if console.is_terminal else None
    shown: AbstractContextManager[Bar | None] = bar or nullcontext()
    with shown:
        yield BarDisplay(bar) if bar else PlainDisplay(console)


def _bar(console: Console) -> Bar:
    text = TextColumn("{task.fields[text]}", markup=False)
    return Bar(
        SpinnerColumn(),
        BarColumn(32),
        text,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def rate(tally: Tally) -> float:
    """Return the entries read in a second, so far."""
    return tally.read / max(tally.seconds, 1e-3)


def _left(tally: Tally, progress: Progress) -> str:
    if not progress.total or not progress.done:
        return ""
    seconds = tally.seconds * max(progress.total - progress.done, 0) / progress.done
    return f", about {seconds:,.0f} s left"
