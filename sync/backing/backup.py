"""A backup from its beginning to its place in the folder, and what is in that folder."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from persistence.assembly import CLOSE_TIME
from persistence.bounded import Calls
from persistence.errors import BackupDamagedError, BackupError
from persistence.gates import TruthGate
from persistence.log import get_logger
from persistence.ports.capabilities import Capability
from persistence.ports.vector import StoreInfo, VectorStore
from persistence.retry import Retry
from persistence.settings import PersistenceConfig
from sync.backing import manifest as m
from sync.backing.chains import Link, chain
from sync.backing.former import Former
from sync.backing.keys import Keys
from sync.backing.making import Asking, Making, OnCount, Tally, bound
from sync.backing.manifest import FORMAT, Consistency, Encryption, Manifest, Part, Section, Store
from sync.backing.model import BackupReport, Shown
from sync.backing.parts import Writer, check
from sync.backing.shelf import Shelf
from sync.backing.threads import in_thread

log = get_logger("backup")

#: Backups that stand on one another, the full one included, before the next one is full again.
LONGEST = 14


@dataclass(frozen=True, slots=True)
class Wish:
    """What kind of backup is asked for. ``passphrase`` None: it is not encrypted."""

    incremental: bool = False
    longest: int = LONGEST
    passphrase: str | None = None


async def back_up(
    store: VectorStore,
    path: Path,
    wish: Wish | None = None,
    *,
    config: PersistenceConfig | None = None,
    progress: OnCount = lambda _done, _total: None,
) -> BackupReport:
    """Write a backup of an open truth into a folder of backups, while everything goes on.

    ``incremental``: only what is not in the newest backup of this store there; where there is none, where that one
    cannot be a base (it is damaged, the chain is long), or where the kind of encryption differs, a full one is made.

    Raises BackupError (the folder cannot be written, somebody else is at it, the truth has gone back),
    BackupPassphraseError (the former backup has another passphrase), VectorStoreError. Then nothing is left behind.
    """
    wish, config = wish or Wish(), config or PersistenceConfig.load()
    shelf = Shelf(path)
    await in_thread(shelf.make)
    async with AsyncExitStack() as stack:
        stack.enter_context(shelf.held(alone=True))
        await in_thread(shelf.sweep)
        store_id = (await store.info()).store_id
        base = await in_thread(lambda: _base(shelf, store_id, wish)) if wish.incremental else None
        keys, encryption = await in_thread(lambda: _keys(wish))
        return await _Backup(store, shelf, base, keys, encryption, config).made(progress)


def _keys(wish: Wish) -> tuple[Keys | None, Encryption | None]:
    return Keys.made(wish.passphrase) if wish.passphrase else (None, None)


def _base(shelf: Shelf, store_id: UUID, wish: Wish) -> Link | None:
    """Return the newest backup of a store, if another one can stand on it. Raises BackupPassphraseError."""
    try:
        folder = newest_of(shelf, store_id)
        if folder is None or not _suits(m.read(folder)[0], wish):
            return None
        link = chain(folder, wish.passphrase)[-1]
        for part in link.manifest.of(Section.HEADS):
            check(folder, part)
    except BackupDamagedError as error:
        log.warning("The backup before is damaged, so this one is full.", action="backup", reason=error.message)
        return None
    return link


def newest_of(shelf: Shelf, store_id: UUID) -> Path | None:
    """Return the newest backup of a store. Raises BackupDamagedError where it cannot be told whose one is."""
    folders = (shelf.path / name for name in reversed(shelf.names()))
    return next((folder for folder in folders if m.read(folder)[0].store.store_id == store_id), None)


def _suits(manifest: Manifest, wish: Wish) -> bool:
    return manifest.chain < wish.longest and (manifest.encryption is None) == (wish.passphrase is None)


@dataclass(frozen=True, slots=True)
class _Backup:
    """One call of ``back_up``."""

    store: VectorStore
    shelf: Shelf
    base: Link | None
    keys: Keys | None
    encryption: Encryption | None
    config: PersistenceConfig

    async def made(self, progress: OnCount) -> BackupReport:
        """Write everything beside, and give it its name at the end."""
        backup_id, started_at = uuid.uuid4(), datetime.now(UTC)
        folder = self.shelf.unfinished(m.folder_name(started_at, backup_id, full=self.base is None))
        writer = Writer(folder, self.keys)
        try:
            await in_thread(lambda: self.shelf.begin(folder))
            making, info = await self._written(writer, progress)
            parts = await in_thread(writer.finish)
            manifest = self._manifest(backup_id, started_at, info, making.tally, parts)
            seal = self.keys.of_manifest(m.as_json(manifest)) if self.keys else None
            await in_thread(lambda: self.shelf.finish(folder, manifest, seal))
        except BaseException:
            await in_thread(lambda: _give_up(writer, folder))
            raise
        return BackupReport.of(manifest)

    async def _written(self, writer: Writer, progress: OnCount) -> tuple[Making, StoreInfo]:
        async with asking(self.store, self.config) as ask:
            making = Making(ask, writer, Former(self.base), progress)
            return making, await making.run()

    def _manifest(
        self, backup_id: UUID, started_at: datetime, info: StoreInfo, tally: Tally, parts: tuple[Part, ...]
    ) -> Manifest:
        still = Capability.SNAPSHOT_READS in self.store.capabilities
        return Manifest(
            format=FORMAT,
            id=backup_id,
            parent=self.base.manifest.id if self.base else None,
            chain=self.base.manifest.chain + 1 if self.base else 1,
            made_by=f"diptych {version('diptych')}",
            started_at=started_at,
            finished_at=datetime.now(UTC),
            store=self._store(info),
            consistency=Consistency.SNAPSHOT if still else Consistency.PER_MEMORY,
            complete_to=max(0, _micros(started_at) - self._margin()),
            oldest=tally.oldest,
            newest=tally.newest,
            counts={section: tally.counts[section] for section in Section},
            tenants=tally.listed(self.keys),
            encryption=self.encryption,
            parts=parts,
        )

    def _store(self, info: StoreInfo) -> Store:
        model, dimension = bound(info)
        return Store(
            store_id=info.store_id,
            kind=self.store.kind,
            schema_version=info.schema_version,
            model=model,
            dimension=dimension,
            floor=info.floor,
            graph_id=info.graph.graph_id if info.graph else None,
        )

    def _margin(self) -> int:
        """Return microseconds: whoever took a version that long ago has written it by now, or never will."""
        return round((self.config.batch_timeout + self.config.write_timeout) * 1_000_000)


@asynccontextmanager
async def asking(store: VectorStore, config: PersistenceConfig) -> AsyncIterator[Asking]:
    """Lend a reader of a truth, each call within a deadline; calls that were left behind are seen to their end."""
    calls = Calls()
    gate = TruthGate(store, calls, Retry(config.retry_attempts, config.retry_delay))
    try:
        async with store.reader() as reader:
            try:
                yield Asking(gate, reader, config.sync_timeout)
            finally:
                await calls.close(CLOSE_TIME)
    finally:
        await calls.close(CLOSE_TIME)


def _give_up(writer: Writer, folder: Path) -> None:
    writer.abandon()
    shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now, the next backup sweeps


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


# --- what is there ----------------------------------------------------------------------------------------------------


async def backups(path: Path) -> list[Shown]:
    """List the backups of a folder, the oldest first; those that cannot be read are in the list, too."""
    return await in_thread(lambda: [shown(path / name) for name in Shelf(path).names()])


def shown(folder: Path) -> Shown:
    """Return what a backup's manifest says; its parts are not looked at."""
    try:
        manifest, _ = m.read(folder)
    except BackupError as error:
        return Shown(folder.name, None, error.message)
    return Shown(folder.name, BackupReport.of(manifest))


async def verify(folder: Path, passphrase: str | None = None) -> list[BackupReport]:
    """Read one backup, and those it stands on, to the last row. Raises BackupDamagedError, BackupPassphraseError."""
    return await in_thread(lambda: [_verified(link) for link in chain(folder, passphrase)])


def _verified(link: Link) -> BackupReport:
    link.check()
    for section in Section:
        for _ in link.pages(section):
            pass
    return BackupReport.of(link.manifest)
