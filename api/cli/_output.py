"""Where output goes: data to stdout, everything else to stderr; colour only on a terminal."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Control characters (line feed and tab apart) could drive the reader's terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")
#: Columns of what is no terminal: tables are not cut there.
_WIDE = 1_000


def printable(text: str) -> str:
    """Return ``text`` with every character that would drive a terminal made visible."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str, limit: int | None = None) -> str:
    """Return ``text`` on one line, printable, cut to ``limit`` characters."""
    line = printable(_SPACE.sub(" ", text).strip())
    return line if limit is None or len(line) <= limit else f"{line[: max(limit - 1, 0)]}…"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command's edge; rich would end the process here, with connections open."""
        raise BrokenPipeError


def console(stream: TextIO, *, no_color: bool) -> Console:
    """Make a console that neither wraps lines nor reads mark-up in them."""
    width = None if stream.isatty() else _WIDE
    return _Console(
        file=stream, width=width, no_color=no_color or None, highlight=False, markup=False, emoji=False, soft_wrap=True
    )


@dataclass(slots=True)
class Output:
    """The two streams of a command. ``as_json``: stdout carries JSON and nothing else."""

    as_json: bool = False
    no_color: bool = False
    out: Console = field(init=False)
    err: Console = field(init=False)

    def __post_init__(self) -> None:
        """Look at the streams as they are now, not as they were at import."""
        self.out = console(sys.stdout, no_color=self.no_color)
        self.err = console(sys.stderr, no_color=self.no_color)

    @property
    def width(self) -> int | None:
        """The width of the terminal that data goes to, None where it goes elsewhere."""
        return self.out.width if self.out.is_terminal else None

    def data(self, value: Any) -> None:
        """Print one JSON document: indented for a person, on one line for a program."""
        self._write(json.dumps(value, ensure_ascii=self._ascii, indent=2 if self.out.is_terminal else None))

    def record(self, value: Any) -> None:
        """Print one JSON document of many, on a line of its own."""
        self._write(json.dumps(value, ensure_ascii=self._ascii))

    def line(self, text: str | Text = "", style: str | None = None) -> None:
        """Print a line of data for a person."""
        self.out.print(text, style=style)

    def table(self, table: Table) -> None:
        """Print a table of data for a person."""
        self.out.print(table)

    def note(self, text: str | Text, style: str | None = None) -> None:
        """Print a line to stderr: progress, a hint, an explanation."""
        self.err.print(text, style=style)

    @property
    def _ascii(self) -> bool:
        return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") != "utf8"

    def _write(self, line: str) -> None:
        sys.stdout.write(line + "\n")


def styled(*parts: str | tuple[str, str]) -> Text:
    """Join texts, each plain or with a style, into one line; nothing in them is read as mark-up."""
    return Text.assemble(*parts)
