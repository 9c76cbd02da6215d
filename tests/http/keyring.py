"""Keys of every kind for one server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.access import Scope
from api.access.keyfile import KeyFile
from api.access.keys import make_key
from tests import planted

ALICE, BOB = "alice", "bob"


class Keys:
    """Makes keys in a file; ``shown`` has them by their names, as their holders do."""

    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder / "api-keys.json")
        self.shown: dict[str, str] = {}

    async def make(
        self, name: str, *scopes: Scope, user_id: str | None = None, age: timedelta | None = None, revoked: bool = False
    ) -> str:
        """Make a key; with ``age`` it expired so long ago."""
        now = datetime.now(UTC)
        made = now - timedelta(days=400) if age else now
        expires_at = now - age if age else None
        key, shown = make_key(name, frozenset(scopes), now=made, user_id=user_id, expires_at=expires_at)
        await self.file.add(key, now)
        if revoked:
            await self.file.revoke(key.id, now)
        self.shown[name] = shown
        planted.plant(shown.rpartition("_")[2], "the secret of an API key")
        return shown

    def headers(self, name: str) -> dict[str, str]:
        """Return the header that a holder of the key sends."""
        return bearer(self.shown[name])


def bearer(credential: str) -> dict[str, str]:
    """Return the header with a key or a token."""
    return {"Authorization": f"Bearer {credential}"}
