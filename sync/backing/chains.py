"""A backup with those it stands on: found, unlocked, and checked to the last byte before anybody relies on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistence.errors import BackupDamagedError, BackupError
from sync.backing import manifest as m
from sync.backing import parts
from sync.backing.keys import Keys
from sync.backing.manifest import Manifest, Sealed, Section
from sync.backing.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Link:
    """One backup of a chain. ``keys`` None: it is not encrypted."""

    folder: Path
    manifest: Manifest
    keys: Keys | None

    def check(self) -> None:
        """Raise BackupDamagedError where any part is not what was written."""
        for part in self.manifest.parts:
            parts.check(self.folder, part)

    def pages(self, section: Section) -> Iterator[list[Any]]:
        """Yield the rows of a section, a frame at a time."""
        for part in self.manifest.of(section):
            yield from parts.pages(self.folder, part, self.keys)


def found(path: Path) -> Path:
    """Return the folder of one backup: the path itself, or the newest of the backups in it. Raises BackupError."""
    if (path / m.NAME).exists():
        return path
    shelf = Shelf(path)
    names = shelf.names()
    if not names:
        raise BackupError(f"There is no backup in {path}.", hint="diptych backup PATH makes one")
    _refuse_to_choose(shelf)
    return path / names[-1]


def _refuse_to_choose(shelf: Shelf) -> None:
    """Refuse backups of several truths: the newest may be of the new, empty one that another is to be restored into."""
    newest = {said.store.store_id: (name, said) for name, said in shelf.readable()}
    if len(newest) > 1:
        told = " and ".join(f"{name} (memories: {said.live:,})" for name, said in newest.values())
        raise BackupError(
            f"{shelf.path} has backups of {len(newest)} truths; the newest of each: {told}.",
            hint="name the folder of the one that is meant",
        )


def is_encrypted(folder: Path) -> bool:
    """Say whether a backup needs a passphrase. Raises BackupDamagedError."""
    return m.read(folder)[0].encryption is not None


def chain(folder: Path, passphrase: str | None) -> list[Link]:
    """Return a backup behind those that it stands on, the full one first; the parts are not looked at.

    Raises BackupDamagedError, BackupPassphraseError.
    """
    links = [_link(folder, passphrase)]
    while (parent := links[0].manifest.parent) is not None:
        if len(links) > links[-1].manifest.chain:
            raise BackupDamagedError(f"{folder} stands on itself.")
        former = _link(_by_id(folder.parent, parent.hex[:8], folder), passphrase)
        _follows(former.manifest, links[0].manifest)
        links.insert(0, former)
    return links


def _link(folder: Path, passphrase: str | None) -> Link:
    manifest, sealed = m.read(folder)
    return Link(folder, manifest, unlocked(manifest, sealed, passphrase))


def unlocked(manifest: Manifest, sealed: Sealed, passphrase: str | None) -> Keys | None:
    """Return the keys of a backup, None where it has none. Raises BackupPassphraseError, BackupDamagedError."""
    if manifest.encryption is None:
        return None
    keys = Keys.of(manifest.encryption, passphrase)
    keys.check(sealed)
    return keys


def _by_id(shelf: Path, short: str, child: Path) -> Path:
    for name in reversed(Shelf(shelf).names()):
        if name.endswith(f"-{short}"):
            return shelf / name
    raise BackupDamagedError(
        f"{child} stands on a backup that is not beside it: its name ends with {short}.",
        hint="put that one back beside it, or use another one",
    )


def _follows(former: Manifest, later: Manifest) -> None:
    if (former.encryption is None) != (later.encryption is None):
        # Whoever cannot write an encrypted backup could put another one in the place of that which it stands on.
        raise BackupDamagedError(f"Of {m.name_of(later)} and {m.name_of(former)} only one is encrypted.")
    same = (former.store.store_id, former.store.model, former.store.dimension)
    if (
        former.id != later.parent
        or former.chain + 1 != later.chain
        or same != (later.store.store_id, later.store.model, later.store.dimension)
    ):
        raise BackupDamagedError(f"{m.name_of(later)} does not stand on {m.name_of(former)}, though it says so.")
