"""The file of the API keys, and who is let in by it."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.access import ADMIN, LOCAL, READ, WRITE, Unauthenticated
from api.access.gate import Gate, open_gate
from api.access.keyfile import KeyFile
from api.access.keyring import KeyRing
from api.access.keys import NOBODY, make_key, parts_of
from api.access.settings import AccessConfig
from persistence.errors import ConfigurationError, InvalidInputError, PersistenceError
from tests.http.keyring import ALICE, Keys


def gate(keys: Keys) -> Gate:
    return Gate(KeyRing(keys.file), None)


async def test_a_key_names_its_principal(keys: Keys):
    """A key stands for a principal with its scopes and its tenant, named by its id."""
    shown = await keys.make("app", READ, WRITE, user_id=ALICE)
    principal = await gate(keys).identify(shown)
    assert (principal.scopes, principal.user_id) == ({READ, WRITE}, ALICE)
    assert principal.name == f"key:{parts_of(shown)[0]}"
    assert principal.may(WRITE)
    assert not principal.may(ADMIN)


async def test_only_a_hash_is_kept(keys: Keys):
    """The file holds no secret, and is its owner's alone."""
    shown = await keys.make("app", READ)
    text = keys.file.path.read_text()
    assert parts_of(shown)[1] not in text
    assert stat.S_IMODE(keys.file.path.stat().st_mode) == 0o600
    assert [path.name for path in keys.file.path.parent.iterdir() if "lock" not in path.name] == ["api-keys.json"]


async def test_keys_are_never_alike(keys: Keys):
    """A secret is 256 random bits: two keys have neither id nor secret in common."""
    one, other = await keys.make("one", READ), await keys.make("other", READ)
    assert all(a != b for a, b in zip(parts_of(one), parts_of(other), strict=True))
    assert len(bytes.fromhex(parts_of(one)[1])) == 32


@pytest.mark.parametrize("change", ["secret", "id", "revoked", "expired", "form", "empty"])
async def test_what_is_no_valid_key_is_refused_alike(keys: Keys, change: str):
    """A wrong secret, an unknown id, a revoked and an expired key get the same refusal."""
    good = await keys.make("good", READ)
    key_id, secret = parts_of(good)
    given = {
        "secret": f"dk_{key_id}_{'0' * 64}",
        "id": f"dk_{NOBODY.id}_{secret}",
        "revoked": await keys.make("revoked", READ, revoked=True),
        "expired": await keys.make("expired", READ, age=timedelta(seconds=1)),
        "form": good[:-1],
        "empty": "dk_",
    }[change]
    with pytest.raises(Unauthenticated, match=r"^The API key is not valid\.$"):
        await gate(keys).identify(given)
    assert (await gate(keys).identify(good)).may(READ)


async def test_revoked_at_once(keys: Keys):
    """A server refuses a key from the moment it is revoked, and takes one from the moment it is made."""
    shown = await keys.make("app", READ)
    standing = gate(keys)
    await standing.identify(shown)
    await keys.file.revoke("app", datetime.now(UTC))
    with pytest.raises(Unauthenticated):
        await standing.identify(shown)
    assert await standing.identify(await keys.make("next", READ))


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", '{"version": 2, "keys": []}', '{"keys": [{"id": 1}]}', '{"keys": [], "more": 1}', "\xff"],
)
async def test_a_damaged_file_lets_nobody_in(keys: Keys, content: str, caplog: pytest.LogCaptureFixture):
    """A file that is damaged while a server runs lets nobody in, says so once, and one put right lets in again."""
    shown = await keys.make("app", READ)
    standing, before = gate(keys), keys.file.path.read_bytes()
    await standing.identify(shown)
    keys.file.path.write_bytes(content.encode("latin-1"))
    with caplog.at_level(logging.ERROR, "diptych"):
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await standing.identify(shown)
    assert [record.message for record in caplog.records] == ["No API key is accepted."]
    assert "damaged" in caplog.records[0].reason
    keys.file.path.write_bytes(before)
    assert await standing.identify(shown)


async def test_a_damaged_file_is_not_written_over(keys: Keys):
    """Making or revoking a key leaves a damaged file as it is, and says so; a server does not start on one."""
    keys.file.path.write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        await keys.make("app", READ)
    with pytest.raises(ConfigurationError, match="damaged"):
        await keys.file.revoke("app", datetime.now(UTC))
    with pytest.raises(ConfigurationError, match="damaged"):
        await open_gate(AccessConfig(keys_file=keys.file.path), keys.file.path.parent)
    assert keys.file.path.read_text() == "{"


async def test_the_same_id_twice_is_damage(keys: Keys):
    """Two keys of one id are damage: the one could undo that the other is revoked."""
    await keys.make("app", READ)
    content = json.loads(keys.file.path.read_text())
    content["keys"] *= 2
    keys.file.path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="twice"):
        keys.file.read()


async def test_a_file_that_is_gone_lets_nobody_in(keys: Keys):
    """A gate that was closed does not open because its file is gone."""
    shown = await keys.make("app", READ)
    standing = gate(keys)
    keys.file.path.unlink()
    assert not standing.is_open
    for given in (shown, None):
        with pytest.raises(Unauthenticated):
            await standing.identify(given)


async def test_the_first_key_closes_the_gate(keys: Keys):
    """Where there is no key whoever comes is the local principal, until the first key is made; there is no way back."""
    standing = gate(keys)
    assert await standing.identify(None) is LOCAL
    shown = await keys.make("app", READ)
    with pytest.raises(Unauthenticated):
        await standing.identify(None)
    assert await standing.identify(shown) is not LOCAL
    keys.file.path.unlink()
    with pytest.raises(Unauthenticated):
        await standing.identify(None)


async def test_keys_made_at_once_are_all_there(keys: Keys):
    """Keys made by several at the same time are all kept: each reads and writes under the lock."""
    await asyncio.gather(*(keys.make(f"app {number}", READ) for number in range(8)))
    assert {key.name for key in await keys.file.keys()} == {f"app {number}" for number in range(8)}


async def test_names(keys: Keys):
    """A name is taken by one valid key at a time; a revoked one gives it back, and stays in the record."""
    await keys.make("app", READ)
    with pytest.raises(InvalidInputError):
        await keys.make("app", READ)
    key, done = await keys.file.revoke("app", datetime.now(UTC))
    assert done
    assert await keys.file.revoke(key.id, datetime.now(UTC)) == (key, False)
    await keys.make("app", WRITE)
    assert [entry.state(datetime.now(UTC)) for entry in await keys.file.keys()] == ["revoked", "valid"]
    assert (await keys.file.revoke("app", datetime.now(UTC)))[0].scopes == {WRITE}
    with pytest.raises(PersistenceError, match="no such key"):
        await keys.file.revoke("other", datetime.now(UTC))


async def test_expiry_is_looked_at_each_time(keys: Keys):
    """A key that a server has at hand is refused once its time has come."""
    start = datetime.now(UTC)
    key, shown = make_key("app", frozenset({READ}), now=start, expires_at=start + timedelta(hours=1))
    await keys.file.add(key, start)
    now = start
    ring = KeyRing(keys.file, clock=lambda: now)
    assert await ring.identify(shown)
    now = start + timedelta(hours=1)
    with pytest.raises(Unauthenticated):
        await ring.identify(shown)


async def test_a_link_stays_a_link(tmp_path: Path):
    """A file that is reached over a symbolic link is replaced where it is, and the link stays."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys.json"
    link.symlink_to(tmp_path / "real" / "keys.json")
    key, _ = make_key("app", frozenset({READ}), now=datetime.now(UTC))
    await KeyFile(link).add(key, datetime.now(UTC))
    assert link.is_symlink()
    assert KeyFile(link).read() == (key,)
