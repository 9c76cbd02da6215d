"""Damaged backups: whatever happened to a byte, a file or the order of files, nothing of them is written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from persistence.errors import BackupDamagedError, BackupError, BackupPassphraseError
from sync.backing import backups, holdings, keys, prune, restore, verify
from sync.backing import manifest as m
from sync.backing.frames import MAGIC
from sync.backing.retention import Keep
from tests.backing import CONFIG, backed_up, files
from tests.contract.vector.making import AT_ONCE, a_delete, a_write
from tests.integration.test_backing import RIGHT, elsewhere
from tests.moving import dump, fill, opened

PHRASES = (None, "open sesame")


@pytest.fixture(params=PHRASES, ids=["plain", "encrypted"])
def passphrase(request: pytest.FixtureRequest) -> str | None:
    return request.param


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make passphrases that are quick to try: here are hundreds of tries."""
    monkeypatch.setattr(keys, "COST", 2**14)


@pytest.fixture
async def made(tmp_path: Path, passphrase: str | None) -> Path:
    """Return a folder with a chain of two backups."""
    async with opened(elsewhere) as store:
        await fill(store, 12)
        await backed_up(store, tmp_path, passphrase=passphrase)
        await store.write(a_write("since"), AT_ONCE)
        await store.delete_many([a_delete("m0001")], AT_ONCE)
        await backed_up(store, tmp_path, passphrase=passphrase, incremental=True)
    return tmp_path


async def refused(path: Path, passphrase: str | None) -> BackupError:
    """Restore, see that it is refused, and that nothing was written."""
    async with opened(elsewhere) as target:
        with pytest.raises(BackupError) as caught:
            await restore(target, path, passphrase=passphrase, config=CONFIG)
        assert await dump(target) == ([], [], 0)
    return caught.value


async def test_any_byte(made: Path, passphrase: str | None) -> None:
    """A byte that is another one, in any file of the chain, at its beginning, its end or anywhere, is found out."""
    rng = random.Random(8)
    for name, data in files(made).items():
        for place in {0, 3, len(MAGIC), len(MAGIC) + 4, len(data) // 2, len(data) - 1, rng.randrange(len(data))}:
            (made / name).write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
            if name.endswith("manifest.json") and _says_the_same(made / name, data):
                continue  # white space between two fields
            await refused(made, passphrase)
        (made / name).write_bytes(data)
    assert await verify(made / (await backups(made))[-1].name, passphrase)


def _says_the_same(path: Path, data: bytes) -> bool:
    try:
        return json.loads(path.read_bytes()) == json.loads(data)
    except ValueError:
        return False


async def test_any_file_cut_off_grown_or_missing(made: Path, passphrase: str | None) -> None:
    """A file that is shorter, longer, empty or not there is found out, each file of the chain."""
    for name, data in files(made).items():
        for other in (data[:-1], data[: len(data) // 2], b"", data + b"\0", data + data):
            (made / name).write_bytes(other)
            await refused(made, passphrase)
        (made / name).unlink()
        await (refused if name.split("/", 1)[1] != m.NAME else _hidden)(made, passphrase)
        (made / name).write_bytes(data)


async def _hidden(path: Path, passphrase: str | None) -> None:
    """Without its manifest a backup is none: the newest with one is restored, or, where that stood on it, refused."""
    names = [one.name for one in await backups(path)]
    assert len(names) == 1
    if "more" in names[0]:
        await refused(path, passphrase)


async def test_files_that_changed_places(made: Path, passphrase: str | None) -> None:
    """Any two files that were swapped, in one backup or between two, are found out."""
    there = files(made)
    names = sorted(there)
    for left, right in pairwise(names):
        (made / left).write_bytes(there[right])
        (made / right).write_bytes(there[left])
        await refused(made, passphrase)
        (made / left).write_bytes(there[left])
        (made / right).write_bytes(there[right])


def _resealed(folder: Path, change: Callable[[dict], None]) -> None:
    """Change a manifest as somebody does who knows how, but has no passphrase."""
    path = folder / m.NAME
    said = json.loads(path.read_text())
    change(said["manifest"])
    path.write_text(json.dumps({**said, "sha256": m.digest(said["manifest"])}))


def _reparted(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes into a part, and their checksum into the manifest."""
    (folder / name).write_bytes(data)

    def change(manifest: dict) -> None:
        (part,) = [part for part in manifest["parts"] if part["name"] == name]
        part |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    _resealed(folder, change)


async def test_a_clever_change_of_an_encrypted_one(tmp_path: Path) -> None:
    """Who changes a manifest, or a part, with all of its checksums, but has not the passphrase, is found out."""
    async with opened(elsewhere) as store:
        await fill(store, 12)
        done = await backed_up(store, tmp_path, passphrase=RIGHT)
    folder = tmp_path / done.name
    manifest = (folder / m.NAME).read_bytes()
    for change in (
        lambda said: said.update(complete_to=1),
        lambda said: said["store"].update(floor=9),
        lambda said: said.update(encryption=None),
    ):
        _resealed(folder, change)
        await refused(tmp_path, RIGHT)
        (folder / m.NAME).write_bytes(manifest)
    _reparted(folder, "memories-00000.part", (folder / "memories-00000.part").read_bytes()[:-1] + b"x")
    assert "changed by somebody" in (await refused(tmp_path, RIGHT)).message
    (folder / m.NAME).write_bytes(manifest)
    _resealed(folder, lambda said: said["encryption"].update(salt="0" * 32))
    assert isinstance(await refused(tmp_path, RIGHT), BackupPassphraseError)


async def test_bombs(tmp_path: Path) -> None:
    """A frame that unpacks to more than it says, or says to be larger than any can be, is not unpacked."""
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        done = await backed_up(store, tmp_path)
    folder = tmp_path / done.name
    bomb = zstandard.compress(b"\0" * 300_000_000)
    for said in (10, 256_000_000, 300_000_000, 2**32 - 1):
        _reparted(folder, "memories-00000.part", MAGIC + struct.pack(">IIB", len(bomb), said, 1) + bomb)
        with pytest.raises(BackupDamagedError, match=r"larger than any|not as large"):
            await verify(folder)


async def test_strange_manifests(tmp_path: Path) -> None:
    """Names that lead out of the folder, cycles, other formats, deep nests: refused by a sentence, never followed."""
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        done = await backed_up(store, tmp_path)
    folder = tmp_path / done.name
    manifest = (folder / m.NAME).read_bytes()

    def itself(said: dict) -> None:
        said.update(parent=said["id"], chain=2)

    for change in (
        lambda said: said["parts"][0].update(name="../../../etc/passwd"),
        lambda said: said.update(more=1),
        lambda said: said.update(parts=said["parts"][:1]),
        lambda said: said["store"].update(dimension=-1),
        lambda said: said.update(format=2),
        itself,
    ):
        _resealed(folder, change)
        await refused(tmp_path, None)
        (folder / m.NAME).write_bytes(manifest)
    (folder / m.NAME).write_text("[" * 100_000)
    await refused(tmp_path, None)
    for text in ("", "null", "{}", '{"manifest": 1}'):
        (folder / m.NAME).write_text(text)
        await refused(tmp_path, None)
        assert [one.trouble is None for one in await backups(tmp_path)] == [False]


async def test_no_backup_at_all(tmp_path: Path) -> None:
    """An empty folder, a file, and a folder that is not there have sentences of their own."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert "There is no backup in" in (await refused(tmp_path / "empty", None)).message
    assert "is no folder" in (await refused(tmp_path / "file", None)).message
    assert "is no folder" in (await refused(tmp_path / "nowhere", None)).message


async def test_a_damaged_base_makes_a_full_backup(tmp_path: Path) -> None:
    """Where the backup before is damaged, an incremental is not built on it: the next one is full, and whole."""
    async with opened(elsewhere) as store:
        await fill(store, 5)
        done = await backed_up(store, tmp_path)
        heads = next((tmp_path / done.name).glob("heads-*"))
        await asyncio.to_thread(heads.write_bytes, b"x")
        assert (await backed_up(store, tmp_path, incremental=True)).chain == 1


async def test_retention_keeps_what_is_stood_on(tmp_path: Path) -> None:
    """The newest stay, with all they stand on; what cannot be read and what is another store's stay as well."""
    async with opened(elsewhere) as store, opened(elsewhere) as other:
        await store.write(a_write("m"), AT_ONCE)
        await other.write(a_write("m"), AT_ONCE)
        theirs = await backed_up(other, tmp_path)
        made = [await backed_up(store, tmp_path, incremental=bool(number % 3)) for number in range(7)]
        store_id = (await store.info()).store_id
    assert [one.chain for one in made] == [1, 2, 3, 1, 2, 3, 1]
    would = await prune(tmp_path, Keep(last=2), store_id, dry_run=True)
    assert would == await prune(tmp_path, Keep(last=2), store_id) == [one.name for one in made[:3]]
    assert [one.name for one in await backups(tmp_path)] == [theirs.name, *(one.name for one in made[3:])]
    for one in await backups(tmp_path):
        assert await verify(tmp_path / one.name)
    with pytest.raises(BackupError, match="was not said"):
        await prune(tmp_path, Keep(), store_id)
    assert await prune(tmp_path, Keep(daily=1), store_id) == [one.name for one in made[3:6]]


# --- a folder that others write to ------------------------------------------------------------------------------------


async def test_a_passphrase_is_relied_on(tmp_path: Path) -> None:
    """Where a passphrase is given, a backup that is not encrypted is refused: anybody could have put it there."""
    async with opened(elsewhere) as store:
        await fill(store, 5)
        await backed_up(store, tmp_path)
    caught = await refused(tmp_path, RIGHT)
    assert isinstance(caught, BackupPassphraseError)
    assert "is not encrypted" in caught.message
    async with opened(elsewhere) as target:
        assert (await restore(target, tmp_path, config=CONFIG)).in_step


async def test_an_encrypted_one_stands_on_no_other(tmp_path: Path) -> None:
    """A full backup that was replaced by a forged one, not encrypted, under the same name and id is found out."""
    async with opened(elsewhere) as store, opened(elsewhere) as forger:
        await fill(store, 5)
        full = await backed_up(store, tmp_path / "b", passphrase=RIGHT)
        await store.write(a_write("since"), AT_ONCE)
        await backed_up(store, tmp_path / "b", passphrase=RIGHT, incremental=True)
        await forger.write(a_write("forged"), AT_ONCE)
        forged = await backed_up(forger, tmp_path / "f")
    folder = tmp_path / "b" / full.name
    said = json.loads((folder / m.NAME).read_text())["manifest"]
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "f" / forged.name, folder)
    _resealed(folder, lambda manifest: manifest.update(id=said["id"], store=said["store"]))
    assert "only one is encrypted" in (await refused(tmp_path / "b", RIGHT)).message


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
async def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    """A pipe, a device or a folder in the place of a part or of a manifest is refused, and nobody waits for it."""
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        done = await backed_up(store, tmp_path)
    folder = tmp_path / done.name
    part = next(folder.glob("heads-*"))

    def empty(manifest: dict) -> None:
        (said,) = [one for one in manifest["parts"] if one["name"] == part.name]
        said |= {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}

    _resealed(folder, empty)
    for path in (part, folder / m.NAME):
        path.unlink()
        _stands_there(path, kind)
        async with asyncio.timeout(10):
            assert await refused(folder, None)
    assert await backups(tmp_path) == []


def _stands_there(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


async def test_what_others_keep_in_the_folder(tmp_path: Path) -> None:
    """What those left who died at a backup is removed, and nothing else: no name that is only like it, no link."""
    ours = ".20260101T020000000000Z-{}-0123abcd.{}"
    left = [tmp_path / ours.format(kind, ending) for kind in ("full", "more") for ending in ("unfinished", "gone")]
    theirs = [tmp_path / ".mine.unfinished", tmp_path / ".thesis.gone", tmp_path / "kept"]
    for folder in (*left, *theirs):
        folder.mkdir()
        (folder / "text").write_text("all of it")
    link = tmp_path / ours.format("full", "gone").replace("0123", "4567")
    link.symlink_to(tmp_path / "kept")
    (tmp_path / ours.format("full", "gone").replace("0123", "89ab")).write_text("a file")
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        await backed_up(store, tmp_path)
    assert not any(folder.exists() for folder in left)
    assert all((folder / "text").read_text() == "all of it" for folder in theirs)
    assert link.is_symlink()


async def test_what_a_dead_backup_left_may_hold_anybody(tmp_path: Path) -> None:
    """A look for a tenant names what a backup left that died, as something of which nobody knows what it holds."""
    left = tmp_path / ".20260101T020000000000Z-full-0123abcd.unfinished"
    left.mkdir()
    async with opened(elsewhere) as store:
        await store.write(a_write("m", "ada"), AT_ONCE)
        (found,) = await holdings(tmp_path, "ada")
        assert (found.name, found.memories, found.trouble is None) == (left.name, None, False)
        done = await backed_up(store, tmp_path)
    assert [(one.name, one.memories) for one in await holdings(tmp_path, "ada")] == [(done.name, 1)]


async def test_a_name_of_ones_own(tmp_path: Path) -> None:
    """A copy under another name is never taken for the newest, is not removed, nor what it stands on; it is listed."""
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        made = [await backed_up(store, tmp_path)]
        await store.write(a_write("since"), AT_ONCE)
        made.append(await backed_up(store, tmp_path, incremental=True))
        shutil.copytree(tmp_path / made[1].name, tmp_path / "zzz-before-the-upgrade")
        shutil.rmtree(tmp_path / made[1].name)
        await store.write(a_write("later"), AT_ONCE)
        made.append(await backed_up(store, tmp_path))
        async with opened(elsewhere) as target:
            assert (await restore(target, tmp_path, config=CONFIG)).name == made[2].name
            copied = await restore(target, tmp_path / "zzz-before-the-upgrade", config=CONFIG)
            assert (copied.live, copied.in_step) == (2, True)
        newest = await backed_up(store, tmp_path)
        assert await prune(tmp_path, Keep(last=1), (await store.info()).store_id) == [made[2].name]
        assert (await backed_up(store, tmp_path, incremental=True)).parent == newest.backup_id
    assert [one.name for one in await backups(tmp_path)][:3] == ["zzz-before-the-upgrade", made[0].name, newest.name]


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder in which nothing can be made is refused by a sentence, whoever asks."""
    async with opened(elsewhere) as store:
        await store.write(a_write("m"), AT_ONCE)
        for path in (Path("/proc"), Path("/proc/backups"), tmp_path / "file" / "b"):
            (tmp_path / "file").touch()
            with pytest.raises(BackupError, match=r"cannot be (written|made): "):
                await backed_up(store, path)
