"""What a backup has of a truth, beside what the truth has now: found by going through both in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from persistence.errors import BackupDamagedError, BackupError, shorten
from persistence.ports.checking import Head
from persistence.ports.outbox import Key
from persistence.projection import bucket
from sync.backing.chains import Link
from sync.backing.manifest import Section
from sync.backing.rows import order


class Changed(NamedTuple):
    """Of one span: memories that are new or newer, and those that are not there any more, as they were."""

    written: list[Key]
    gone: dict[Key, Head]


class Former:
    """The live memories of a backup, in the order of buckets. Every method is for a thread."""

    def __init__(self, link: Link | None) -> None:
        self._heads = ordered(link) if link else iter(())
        self._next: Head | None = None

    def upto(self, high: int) -> list[Head]:
        """Return what comes next, up to and without the bucket ``high``."""
        heads: list[Head] = []
        while (head := self._next or next(self._heads, None)) is not None:
            self._next = head
            if bucket(head.user_id, head.id) >= high:
                break
            heads.append(head)
            self._next = None
        return heads


def ordered(link: Link) -> Iterator[Head]:
    """Yield the heads of a backup. Raises BackupDamagedError where they are not in their order."""
    last: tuple[int, str, str] | None = None
    for page in link.pages(Section.HEADS):
        for head in page:
            place = order(head)
            if last is not None and place <= last:
                raise BackupDamagedError(f"The rows of {link.folder} are not in their order.")
            last = place
            yield head


def changed(former: Sequence[Head], now: Sequence[Head]) -> Changed:
    """Compare a span. Raises BackupError where the truth has gone back, which a backup by versions cannot follow."""
    before = {head.key: head for head in former}
    here = {head.key: head for head in now}
    written = [key for key, head in here.items() if _is_new(before.get(key), head)]
    return Changed(written, {key: head for key, head in before.items() if key not in here})


def _is_new(before: Head | None, now: Head) -> bool:
    if before is None or before.version < now.version:
        return True
    if (before.version, before.digest) != (now.version, now.digest):
        raise went_back(now.key)
    return False


def went_back(key: Key) -> BackupError:
    """Return the error where a memory is older than it was, or gone without a trace."""
    return BackupError(
        f"The truth has gone back since the backup before: {shorten(key.id)} of {shorten(key.user_id)} is older there"
        " now, or was removed by hand.",
        hint="make a full backup: leave --incremental out",
    )
