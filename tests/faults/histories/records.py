"""What a process records of its operations: JSON lines, one file per process, a line before each and one after.

A line is written by one call to the operating system, so what was recorded survives a kill -9; an operation without
its second line may or may not have happened. Times are of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self


class Key(NamedTuple):
    """A memory's identity."""

    user_id: str
    id: str


class Ended(StrEnum):
    """How an operation ended, as its caller was told."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one memory: what was asked, when, and what was answered.

    ``do``: put, patch, delete or read; a batch is one put for each of its items, and a check is of no memory.
    ``content`` is what a put or patch writes, and what a read saw; no two writes have the same. ``version`` and
    ``digest`` are those answered: of the write, or of what was read; None where nothing is there. ``kept`` is the
    content of the put whose other fields are there, as a patch leaves them.
    """

    name: str
    do: str
    key: Key
    began: float
    ended: float = math.inf
    outcome: Ended = Ended.UNKNOWN
    content: str | None = None
    expected: int | None = None
    version: int | None = None
    digest: int | None = None
    kept: str | None = None
    changed: bool = True
    found: int = 0
    error: str | None = None


class Recorder:
    """Appends to a process's own file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def began(self, operations: Iterable[dict[str, Any]]) -> None:
        """Record what is about to be asked."""
        self._append([{**operation, "began": time.monotonic()} for operation in operations])

    def ended(self, answers: Iterable[dict[str, Any]]) -> None:
        """Record what was answered."""
        now = time.monotonic()
        self._append([{**answer, "ended": now} for answer in answers])

    def _append(self, lines: list[dict[str, Any]]) -> None:
        os.write(self._file, "".join(json.dumps(line) + "\n" for line in lines).encode())


def read(folder: Path) -> list[Operation]:
    """Return all operations that were recorded in the folder."""
    return [operation for path in sorted(folder.glob("*.jsonl")) for operation in _of_file(path)]


def _of_file(path: Path) -> Iterator[Operation]:
    lines: dict[str, dict[str, Any]] = {}
    for text in path.read_text("utf-8").splitlines(keepends=True):
        if text.endswith("\n"):  # a last line without its end was never whole
            line = json.loads(text)
            lines.setdefault(line["name"], {}).update(line)
    for fields in lines.values():
        user_id, memory_id = fields.pop("key")
        outcome = Ended(fields.pop("outcome", Ended.UNKNOWN))
        yield Operation(**fields, key=Key(user_id, memory_id), outcome=outcome)
