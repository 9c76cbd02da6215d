"""API keys: `dk_<id>_<secret>`, of which the id and a hash of the secret are kept.

A secret is 256 random bits, so SHA-256 is hash enough: there is no list of likely secrets that a slow hash would make
expensive to try, and a slow hash would be paid at every request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from api.access.principal import Principal, Scope
from persistence.text import Name

PREFIX = "dk_"
_FORM = re.compile(r"dk_(?P<id>[0-9a-f]{16})_(?P<secret>[0-9a-f]{64})", re.ASCII)

Scopes = Annotated[
    frozenset[Scope], Field(min_length=1), PlainSerializer(lambda scopes: [s for s in Scope if s in scopes])
]


class ApiKey(BaseModel):
    """A key as it is kept. ``user_id`` None: for all tenants. ``digest``: the SHA-256 of the secret, in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    name: Name
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    scopes: Scopes
    user_id: Name | None = None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def valid(self, now: datetime) -> bool:
        """Say whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def state(self, now: datetime) -> str:
        """Say in a word how the key is: valid, revoked, expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.valid(now) else "expired"

    def opens_for(self, secret: str) -> bool:
        """Say whether this is the secret, in the same time whatever it is."""
        return hmac.compare_digest(self.digest, _digest(secret))

    def principal(self) -> Principal:
        """Return whom the key stands for."""
        return Principal(f"key:{self.id}", self.scopes, self.user_id)


#: Takes the place of a key that is not known, so that looking for one costs the same; no secret has this digest.
NOBODY = ApiKey(
    id="0" * 16,
    name="nobody",
    digest="0" * 64,
    scopes=frozenset({Scope.READ}),
    created_at=datetime(2000, 1, 1, tzinfo=UTC),
    revoked_at=datetime(2000, 1, 1, tzinfo=UTC),
)


def make_key(
    name: str,
    scopes: frozenset[Scope],
    *,
    now: datetime,
    user_id: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return a new key as it is kept, and as its holder has it. Raises pydantic's ValidationError."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    kept = ApiKey(
        id=key_id,
        name=name,
        digest=_digest(secret),
        scopes=scopes,
        user_id=user_id,
        created_at=now,
        expires_at=expires_at,
    )
    return kept, f"{PREFIX}{key_id}_{secret}"


def parts_of(credential: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key, None where this has not the form of one."""
    match = _FORM.fullmatch(credential)
    return (match["id"], match["secret"]) if match else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
