"""The parts of a backup: written a frame at a time, and read back so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from persistence.errors import BackupDamagedError
from persistence.opening import plain, private
from sync.backing import rows as r
from sync.backing.frames import FRAME, MAGIC, Packer, Unpacker
from sync.backing.keys import Keys
from sync.backing.manifest import Part, Section
from sync.backing.shelf import unwritable

#: Bytes after which a part is closed, and the next one begun.
PART = 64_000_000
#: What a row of anything but memories takes, roughly.
_NARROW = 120
_READ = 1 << 20


@dataclass(slots=True)
class _Open:
    """A part that is being written. ``waiting``: rows of the frame that is next, which may be the last one."""

    name: str
    section: Section
    file: BinaryIO
    packer: Packer
    hash: Any = field(default_factory=hashlib.sha256)
    waiting: list[Any] = field(default_factory=list)
    weight: int = 0
    rows: int = 0
    size: int = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)

    def add(self, row: Any) -> None:
        """Put a row into the frame that is next, after that of those before it where it is full."""
        if self.weight >= FRAME:
            self.flush()
        self.waiting.append(row)
        self.weight += _weight(self.section, row)
        self.rows += 1

    def flush(self, *, last: bool = False) -> None:
        self.write(self.packer.pack(r.pack(self.section, self.waiting), last=last))
        self.waiting, self.weight = [], 0

    def close(self) -> Part:
        """Write the last frame, and bring all of it to the disk."""
        with self.file:
            self.flush(last=True)
            self.file.flush()
            os.fsync(self.file.fileno())
        return Part(name=self.name, section=self.section, rows=self.rows, bytes=self.size, sha256=self.hash.hexdigest())


class Writer:
    """Writes rows into parts. Every method is for a thread, one at a time."""

    def __init__(self, folder: Path, keys: Keys | None) -> None:
        self._folder = folder
        self._keys = keys
        self._open: dict[Section, _Open] = {}
        self._parts: list[Part] = []
        self._begun = 0

    def add(self, section: Section, rows: Sequence[Any]) -> None:
        """Write rows of a section behind those before. Raises BackupError: no space, no right."""
        try:
            for row in rows:
                self._place(section).add(row)
        except OSError as error:
            raise unwritable(self._folder.parent, error) from error

    def _place(self, section: Section) -> _Open:
        part = self._open.get(section)
        if part is not None and part.size >= PART:
            self._parts.append(part.close())
            part = None
        if part is None:
            part = self._open[section] = self._begin(section)
        return part

    def _begin(self, section: Section) -> _Open:
        name = f"{section.value}-{self._begun:05}.part"
        file = open(self._folder / name, "xb", opener=private)  # noqa: SIM115  # closed with the part
        part = _Open(name, section, file, Packer(self._begun, self._keys))
        part.write(MAGIC)
        self._begun += 1
        return part

    def finish(self) -> tuple[Part, ...]:
        """Close what is open; return all parts in their order."""
        try:
            self._parts += [part.close() for part in self._open.values()]
        except OSError as error:
            raise unwritable(self._folder.parent, error) from error
        self._open.clear()
        return tuple(sorted(self._parts, key=lambda part: number_of(part.name)))

    def abandon(self) -> None:
        """Close the files of a backup that was given up."""
        for part in self._open.values():
            part.file.close()


def number_of(name: str) -> int:
    """Return the how-many-th of its backup a part is."""
    return int(name[-10:-5])


def _weight(section: Section, row: Any) -> int:
    if section is not Section.MEMORIES:
        return _NARROW
    return int(len(row.content) + row.embedding.nbytes + 100 * (1 + len(row.metadata) + len(row.entities)))


# --- read back --------------------------------------------------------------------------------------------------------


def check(folder: Path, part: Part) -> None:
    """Raise BackupDamagedError where a part is not, byte by byte, what was written."""
    path = folder / part.name
    hashed = hashlib.sha256()
    try:
        with open(path, "rb", opener=plain) as file:
            if os.fstat(file.fileno()).st_size != part.bytes:
                raise BackupDamagedError(f"{path} has another size than it was written with.")
            while data := file.read(_READ):
                hashed.update(data)
    except OSError as error:
        raise BackupDamagedError(f"{path} cannot be read: {error.strerror}.") from error
    if hashed.hexdigest() != part.sha256:
        raise BackupDamagedError(f"{path} is not what was written: its checksum is another one.")


def pages(folder: Path, part: Part, keys: Keys | None) -> Iterator[list[Any]]:
    """Yield a part's rows, a frame at a time. Raises BackupDamagedError."""
    rows = 0
    try:
        with open(folder / part.name, "rb", opener=plain) as file:
            for frame in Unpacker(number_of(part.name), keys).frames(file):
                page = r.unpack(part.section, frame)
                rows += len(page)
                yield page
    except OSError as error:
        raise BackupDamagedError(f"{folder / part.name} cannot be read: {error.strerror}.") from error
    if rows != part.rows:
        raise BackupDamagedError(f"{folder / part.name} holds {rows:,} rows, and not the {part.rows:,} that it had.")
