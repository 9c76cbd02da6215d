"""What a source turns into: memories to store and lines that are none, in the order of the input."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from api.cli.importing.commits import draft
from api.cli.importing.git import GitSource
from api.cli.importing.lines import Line, LineSource
from api.cli.importing.parse import LineError, Rules, parse
from persistence.errors import InvalidInputError
from persistence.records import MemoryDraft


@dataclass(frozen=True, slots=True)
class Item:
    """A memory to store. ``size``: bytes of the input that it took, roughly; ``line`` None: it came from no file."""

    label: str
    draft: MemoryDraft
    size: int
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A line, or a commit, that is no memory, and why."""

    label: str
    reason: str
    line: Line | None = None


Entry = Item | Fault


class Progress(Protocol):
    """How far a source has come, in its own unit; ``total`` None: not known."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int | None: ...


def of_lines(sources: Iterable[LineSource], rules: Rules) -> Generator[Entry, None, None]:
    """Read every source in turn; blank lines are passed over."""
    for source in sources:
        for line in source.lines():
            if line.spill is not None or (not line.raw.isspace() and line.raw):
                yield _entry(line, rules)


def _entry(line: Line, rules: Rules) -> Entry:
    try:
        return Item(line.label, parse(line, rules), len(line.raw), line)
    except (LineError, InvalidInputError) as error:
        return Fault(line.label, str(error), line)


def of_commits(source: GitSource, repository: str, rules: Rules) -> Generator[Entry, None, None]:
    """Read a history."""
    for commit in source.commits():
        label = f"commit {commit.hash[:12]}"
        try:
            size = len(commit.message) + sum(map(len, commit.files))
            yield Item(label, draft(commit, repository=repository, rules=rules), size)
        except InvalidInputError as error:
            yield Fault(label, str(error))


@dataclass(frozen=True, slots=True)
class Together:
    """The progress of several sources as one."""

    parts: tuple[LineSource, ...]

    @property
    def done(self) -> int:
        """Bytes consumed."""
        return sum(part.done for part in self.parts)

    @property
    def total(self) -> int | None:
        """Bytes in all, None where one of them does not say."""
        sizes = [part.total for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)
