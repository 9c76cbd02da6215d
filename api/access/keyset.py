"""The public keys that tokens are signed with, fetched from where their issuer shows them (JWKS)."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

import anyio.to_thread
import jwt

from api.access.principal import Unauthenticated, Undecided
from persistence.errors import ConfigurationError
from persistence.log import get_logger

log = get_logger("access")

#: Of public keys only: with a shared secret among them, whoever knows a public key could sign.
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
#: Seconds for which keys are used at most when no newer ones can be had.
KEPT = 3_600.0


class KeySet:
    """Keys by their `kid`.

    They are fetched when they are needed first, when they are ``lifetime`` seconds old, and for a `kid` that is not
    known; never more often than every ``cooldown`` seconds, whatever tokens come. ``clock`` is given by tests.
    """

    def __init__(
        self,
        url: str,
        *,
        lifetime: float = 300.0,
        cooldown: float = 30.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_url(url)
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout)
        self._lifetime, self._cooldown, self._timeout = lifetime, cooldown, timeout
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._tried: float | None = None
        self._fetched: float | None = None
        self._fetching = asyncio.Lock()

    async def key_for(self, kid: str | None) -> tuple[jwt.PyJWK, str]:
        """Return the key of that id. Raises Unauthenticated; Undecided where the keys cannot be had."""
        if kid is None:
            raise Unauthenticated("The token does not say which key it is signed with.")
        if self._due(kid):
            async with self._fetching:
                if self._due(kid):
                    await self._fetch()
        if self._fetched is None or self._clock() - self._fetched > KEPT:
            raise Undecided("The keys that tokens are signed with cannot be had.")
        if kid not in self._keys:
            self._refuse()
        key = self._keys[kid]
        return key, key.algorithm_name

    def _refuse(self) -> None:
        """Refuse a key that is not known; as long as the last fetch failed, nobody knows whether it is one."""
        if self._fetched != self._tried:
            raise Undecided("The newest keys that tokens are signed with cannot be had.")
        raise Unauthenticated("The token is signed with a key that is not known.")

    def _due(self, kid: str) -> bool:
        if self._tried is None:
            return True
        waited = self._clock() - self._tried
        wanted = kid not in self._keys or self._fetched != self._tried
        return waited >= self._lifetime or (wanted and waited >= self._cooldown)

    async def _fetch(self) -> None:
        """Fetch the keys; what cannot be had leaves those that were."""
        tried = self._clock()
        get = partial(self._client.get_signing_keys, refresh=True)
        try:
            async with asyncio.timeout(self._timeout):
                keys = await anyio.to_thread.run_sync(get, abandon_on_cancel=True)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.warning("The keys of tokens could not be fetched.", action="access", reason=type(error).__name__)
            self._tried = tried
            return
        self._keys = {key.key_id: key for key in keys if key.key_id and key.algorithm_name in ALGORITHMS}
        self._tried = self._fetched = tried


def _check_url(url: str) -> None:
    """Raise ConfigurationError unless nobody on the way can put keys of their own in the place of these."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _is_local(parts.hostname):
        return
    raise ConfigurationError(
        "The keys of tokens must come from an https:// URL.", hint="check the setting DIPTYCH_API_JWT_JWKS_URL"
    )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
