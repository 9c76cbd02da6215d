"""Which backups stay: the newest ones, one of a day, one of a week, and whatever one of these stands on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from uuid import UUID

from persistence.errors import BackupError
from sync.backing import manifest as m
from sync.backing.manifest import Manifest
from sync.backing.shelf import Shelf
from sync.backing.threads import in_thread


@dataclass(frozen=True, slots=True)
class Keep:
    """How many stay: of the newest ones; of days, and of weeks, that have a backup, the newest of each."""

    last: int = 0
    daily: int = 0
    weekly: int = 0

    @property
    def wanted(self) -> bool:
        """Whether anything may go at all."""
        return any((self.last, self.daily, self.weekly))


async def prune(path: Path, keep: Keep, store_id: UUID, *, dry_run: bool = False) -> list[str]:
    """Remove the backups of a store that need not stay; return their names. What cannot be read stays.

    Raises BackupError where nothing is said to stay, or somebody else is at work in the folder.
    """
    if not keep.wanted:
        raise BackupError("Which backups stay was not said.", hint="--keep, --keep-daily or --keep-weekly")
    return await in_thread(lambda: _prune(Shelf(path), keep, store_id, dry_run=dry_run))


def _prune(shelf: Shelf, keep: Keep, store_id: UUID, *, dry_run: bool) -> list[str]:
    with shelf.held(alone=True):
        there = {name: manifest for name, manifest in shelf.readable() if manifest.store.store_id == store_id}
        # What somebody has named by himself he has put aside: it stays, with what it stands on.
        aside = [manifest.parent for name, manifest in there.items() if not m.is_folder_name(name)]
        ours = {name: manifest for name, manifest in there.items() if m.is_folder_name(name)}
        stay = kept(list(ours.values()), keep, aside)
        gone = [name for name, manifest in ours.items() if manifest.id not in stay]
        for name in reversed([] if dry_run else gone):  # what stands on another goes first
            shelf.drop(name)
    return gone


def kept(manifests: Sequence[Manifest], keep: Keep, needed: Iterable[UUID | None] = ()) -> set[UUID]:
    """Return the ids of the backups that stay; those that are needed do in any case."""
    newest = sorted(manifests, key=lambda one: one.started_at, reverse=True)
    chosen = {one.id for one in newest[: keep.last]}
    chosen |= {one for one in needed if one is not None}
    chosen |= _first_of(newest, keep.daily, "%Y-%m-%d") | _first_of(newest, keep.weekly, "%G-%V")
    return _with_parents(chosen, {one.id: one.parent for one in manifests})


def _first_of(newest: Sequence[Manifest], many: int, period: str) -> set[UUID]:
    of_period: dict[str, UUID] = {}
    for one in newest:
        of_period.setdefault(one.started_at.astimezone(UTC).strftime(period), one.id)
    return set(list(of_period.values())[:many])


def _with_parents(chosen: set[UUID], parents: dict[UUID, UUID | None]) -> set[UUID]:
    stay: set[UUID] = set()
    for one in chosen:
        link: UUID | None = one
        while link is not None and link not in stay:
            stay.add(link)
            link = parents.get(link)
    return stay
