"""Which backups still hold a tenant, or one of its memories: told by their manifests, or else by their rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persistence.errors import BackupError
from sync.backing import manifest as m
from sync.backing.chains import Link, unlocked
from sync.backing.making import hashed
from sync.backing.manifest import Section
from sync.backing.shelf import Shelf
from sync.backing.threads import in_thread

_LEFT = "It is not finished, or not wholly removed: what nobody works at any more, the next backup there removes."


@dataclass(frozen=True, slots=True)
class Holding:
    """One backup. ``memories``: how many a restore would bring back; None: that cannot be told, see ``trouble``."""

    name: str
    memories: int | None
    trouble: str | None = None


async def holdings(
    path: Path, user_id: str, memory_id: str | None = None, *, passphrase: str | None = None
) -> list[Holding]:
    """Look through a folder of backups, the oldest first; those without any are in the list, too.

    What is unfinished, or half removed, may hold anything.
    """
    return await in_thread(lambda: _all(Shelf(path), user_id, memory_id, passphrase))


def _all(shelf: Shelf, user_id: str, memory_id: str | None, passphrase: str | None) -> list[Holding]:
    whole = [_holding(shelf.path / name, user_id, memory_id, passphrase) for name in shelf.names()]
    return [*whole, *(Holding(name, None, _LEFT) for name in shelf.left())]


def _holding(folder: Path, user_id: str, memory_id: str | None, passphrase: str | None) -> Holding:
    try:
        manifest, sealed = m.read(folder)
        link = Link(folder, manifest, unlocked(manifest, sealed, passphrase))
        return Holding(folder.name, _listed(link, user_id) if memory_id is None else _counted(link, user_id, memory_id))
    except BackupError as error:
        return Holding(folder.name, None, error.message)


def _listed(link: Link, user_id: str) -> int:
    tenants = link.manifest.tenants
    if tenants is None:
        return _counted(link, user_id, None)
    return tenants.counts.get(hashed(tenants.salt, user_id, link.keys), 0)


def _counted(link: Link, user_id: str, memory_id: str | None) -> int:
    heads = (head for page in link.pages(Section.HEADS) for head in page)
    return sum(head.user_id == user_id and memory_id in {None, head.id} for head in heads)
