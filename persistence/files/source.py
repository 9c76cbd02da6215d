"""What a store in memory and its files are to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from persistence.errors import PersistenceError


class Capture(Protocol):
    """The store as it was at one moment: payloads that make an empty store the same."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Let go of what was held for it. To be called once."""
        ...


class Source(Protocol):
    """The store in memory, as its files see it."""

    @property
    def kind(self) -> str:
        """What the files are of: ``truth``, ``graph``."""
        ...

    @property
    def format(self) -> int:
        """The version of the payloads that are written now."""
        ...

    def clear(self) -> None:
        """Become empty."""
        ...

    def load(self, version: int, payload: bytes) -> None:
        """Do what a payload of that version of the format says."""
        ...

    def capture(self) -> Capture:
        """Hold on to the store as it is now, whatever is changed until that is closed."""
        ...


class Faults(NamedTuple):
    """The errors of the store whose files these are."""

    refused: type[PersistenceError]
    unavailable: type[PersistenceError]
    unknown: type[PersistenceError]


def header(source: Source, generation: int, *, after: int | None = None) -> bytes:
    """Return a file's first payload. ``after``: the last record of the log before, which tells whether it is whole."""
    said = {"kind": source.kind, "format": source.format, "of": generation, "after": after}
    return json.dumps(said).encode()


def reason(error: BaseException | None) -> str:
    """Return what the system says of an error, without the paths."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
