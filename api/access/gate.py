"""The gate: says whom a credential stands for, be it an API key or a token."""

from __future__ import annotations

from pathlib import Path

from api.access.keyfile import KeyFile, keys_path
from api.access.keyring import KeyRing
from api.access.keys import PREFIX
from api.access.keyset import KeySet
from api.access.principal import LOCAL, Principal, Unauthenticated
from api.access.settings import AccessConfig
from api.access.tokens import Shared, Source, Tokens
from persistence.errors import ConfigurationError

#: Bytes of a shared secret: as many as the hash has that it goes into.
SHORTEST_SECRET = 32


class Gate:
    """Where neither keys nor tokens are configured the gate is open, and whoever comes is the local principal.

    It closes with the first key that is made, and does not open again: a file that is gone lets nobody in.
    """

    def __init__(self, keys: KeyRing, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens
        self._open = tokens is None and not keys.present

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in. Such a server must not be reached from another machine."""
        if self._open and self._keys.present:
            self._open = False
        return self._open

    async def identify(self, credential: str | None) -> Principal:
        """Return whom a credential stands for. Raises Unauthenticated, Denied, Undecided."""
        if self.is_open:
            return LOCAL
        if not credential:
            raise Unauthenticated("An API key or a token is needed.")
        if self._tokens is None or credential.startswith(PREFIX):
            return await self._keys.identify(credential)
        return await self._tokens.identify(credential)


async def open_gate(config: AccessConfig, home: Path) -> Gate:
    """Make the gate that the settings describe. Raises ConfigurationError, also for a file of keys that is damaged."""
    file = KeyFile(keys_path(config, home))
    await file.keys()
    source = await _source(config)
    tokens = Tokens(source, audience=config.jwt_audience, issuer=config.jwt_issuer) if source else None
    return Gate(KeyRing(file), tokens)


async def _source(config: AccessConfig) -> Source | None:
    if config.jwt_jwks_url is not None:
        return KeySet(
            config.jwt_jwks_url,
            lifetime=config.jwt_jwks_lifetime,
            cooldown=config.jwt_jwks_cooldown,
            timeout=config.jwt_jwks_timeout,
        )
    if config.jwt_secret is not None:
        return _shared(config.jwt_secret.get_secret_value().encode())
    return None


def _shared(secret: bytes) -> Shared:
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"The secret of tokens is shorter than {SHORTEST_SECRET} bytes.", hint="make one by `openssl rand -hex 32`"
        )
    return Shared(secret)
