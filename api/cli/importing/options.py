"""The options of ``diptych import``, and what they add up to."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli.importing.entries import Entry, Progress, Together, of_commits, of_lines
from api.cli.importing.git import GitSource, repository
from api.cli.importing.lines import STDIN, LineSource, SourceError
from api.cli.importing.parse import Rules
from api.lines import is_full
from persistence.errors import ConfigurationError
from persistence.ports.vector import WriteMode
from persistence.settings import PersistenceConfig


class OnError(StrEnum):
    """What a line that is no memory does to the import."""

    STOP = "stop"
    SKIP = "skip"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…", help="Files of JSON lines, gzipped or not; - is standard input.", show_default=False
    ),
]
Git = Annotated[
    Path | None,
    typer.Option("--git", metavar="PATH", help="Import the history of this git repository.", show_default=False),
]
DefaultUser = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        metavar="USER",
        help="The tenant of lines without a user_id, and of commits (else the repository's name).",
        show_default=False,
    ),
]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="At a line that is no memory: stop, or skip it and keep it in a file.")
]
RejectedFile = Annotated[
    Path | None,
    typer.Option(
        "--rejected",
        metavar="FILE",
        help="Where skipped lines go; else beside each file, as NAME.rejected.jsonl.",
        show_default=False,
    ),
]
Update = Annotated[bool, typer.Option("--update", help="Replace memories that are there already.")]
KeepDeleted = Annotated[bool, typer.Option("--keep-deleted", help="Leave deleted memories deleted.")]
Max = Annotated[
    int | None, typer.Option("--max", metavar="N", min=1, help="Read so many lines or commits.", show_default=False)
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="Only commits after this date (with --git).", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    files: tuple[str, ...]
    git: Path | None = None
    user: str | None = None
    on_error: OnError = OnError.STOP
    rejected: Path | None = None
    update: bool = False
    keep_deleted: bool = False
    limit: int | None = None
    since: str | None = None

    def check(self) -> None:
        """Refuse what cannot be meant. Raises ConfigurationError."""
        if bool(self.files) == bool(self.git):
            raise ConfigurationError(
                "An import takes either files of JSON lines or the history of one git repository.",
                hint="diptych import FILE…, diptych import -, or diptych import --git PATH",
            )
        if self.update and self.keep_deleted:
            raise ConfigurationError("--update and --keep-deleted contradict each other.", hint="leave one of them out")
        if self.since and not self.git:
            raise ConfigurationError("--since is for --git.", hint="leave it out, or use --max")
        if self.rejected and any(name != STDIN and _same(Path(name), self.rejected) for name in self.files):
            raise ConfigurationError("The file for rejected lines is an input.", hint="give --rejected another")

    @property
    def mode(self) -> WriteMode:
        """What happens to what is there."""
        if self.update:
            return WriteMode.REPLACE
        return WriteMode.KEEP_ANY if self.keep_deleted else WriteMode.KEEP_LIVE


@dataclass(frozen=True, slots=True)
class Input:
    """What is read: its entries, its progress, the tenant of entries that name none.

    ``full``: the one source, where it is a full export.
    """

    entries: Generator[Entry, None, None]
    progress: Progress
    user_id: str | None
    full: LineSource | None = None


def open_input(request: Request, config: PersistenceConfig, stop: threading.Event, *, count: bool) -> Input:
    """Look at what is to be read; ``count`` the commits, for a progress bar. Blocks. Raises SourceError."""
    if request.git:
        return _history(request, request.git, config, stop, count=count)
    sources = tuple(LineSource(name, stop) for name in request.files)
    rules = Rules(request.user, config.max_content_bytes, config.embedding_dimension)
    full = sources[0] if _is_full(sources[0]) else None
    if full is not None and request != Request(request.files[:1]):
        raise ConfigurationError(
            f"{full.name} is a full export, which is imported as it is.", hint="import it alone, without options"
        )
    return Input(of_lines(sources, rules), Together(sources), request.user, full)


def _is_full(source: LineSource) -> bool:
    first = source.head()
    return first is not None and is_full(first.raw)


def _history(request: Request, path: Path, config: PersistenceConfig, stop: threading.Event, *, count: bool) -> Input:
    top = repository(path)
    if top is None:
        raise SourceError(f"{path} is in no git repository.", hint="--git takes the folder of one")
    user_id = request.user or repository_name(top)
    source = GitSource(top, stop, limit=request.limit, since=request.since)
    if count:
        source.count()
    rules = Rules(user_id, config.max_content_bytes)
    return Input(of_commits(source, repository_name(top), rules), source, user_id)


def repository_name(top: Path) -> str:
    """Return the name of a repository's folder."""
    return top.resolve().name.removesuffix(".git") or "repository"


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
