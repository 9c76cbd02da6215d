"""Lines that were skipped, kept verbatim in a file that can be mended and imported again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from api.cli.importing.entries import Fault
from api.cli.importing.lines import SourceError


class Rejects:
    """Files of rejected lines, opened with the first of them. Blocks; used from one thread at a time.

    ``path``: the one file for all, written anew. None: a file beside each input, which never takes the place of one
    that is there: someone may be mending it.
    """

    def __init__(self, path: Path | None) -> None:
        self.files: list[Path] = []
        self._path = path
        self._open: dict[str, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        self._stack.close()

    def add(self, faults: Iterable[Fault]) -> None:
        """Append the lines of faults. Raises SourceError where that is not possible."""
        try:
            for fault in faults:
                if fault.line is not None:
                    fault.line.copy_to(self._file(fault.line.source))
            for file in self._open.values():
                file.flush()
        except OSError as error:
            raise SourceError(f"The rejected lines cannot be kept: {error.strerror}.") from error

    def _file(self, source: str) -> IO[bytes]:
        name = "" if self._path else source
        if name not in self._open:
            self._open[name] = self._stack.enter_context(self._create(source))
        return self._open[name]

    def _create(self, source: str) -> IO[bytes]:
        if self._path:
            self.files.append(self._path)
            return self._path.open("wb")
        for path in candidates(source):
            try:
                file = path.open("xb")
            except FileExistsError:
                continue
            self.files.append(path)
            return file
        raise AssertionError  # pragma: no cover - the candidates never end


def candidates(source: str) -> Iterable[Path]:
    """Yield names for the file beside ``source``: ``data.rejected.jsonl``, ``data.rejected-2.jsonl``, and so on."""
    path = Path("stdin.jsonl" if source == "stdin" else source)
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    yield path.with_name(f"{stem}.rejected.jsonl")
    for number in count(2):
        yield path.with_name(f"{stem}.rejected-{number}.jsonl")
