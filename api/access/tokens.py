"""JSON web tokens: whose they are, and what they let their holder do.

A token must carry `exp`. Its `scope` claim is a list of scopes separated by spaces (those of others are passed over),
its `user_id` claim limits it to that tenant; without one it must have the scope `admin`. The algorithm is that of the
key, never one that the token chooses.
"""

from __future__ import annotations

from typing import Any, Protocol

import jwt
from pydantic import TypeAdapter, ValidationError

from api.access.principal import Denied, Principal, Scope, Unauthenticated
from persistence.errors import shorten
from persistence.text import Name

#: Seconds by which the clocks of this machine and of the issuer may differ.
LEEWAY = 10.0
_SCOPES = {scope.value: scope for scope in Scope}
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class Source(Protocol):
    """Gives the key that a token has to be signed with."""

    async def key_for(self, kid: str | None) -> tuple[Any, str]:
        """Return a key and its only algorithm. Raises Unauthenticated, Undecided."""
        ...


class Shared:
    """One secret that is shared with whoever issues the tokens."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def key_for(self, kid: str | None) -> tuple[bytes, str]:  # noqa: ARG002  # there is only one
        """Return the secret."""
        return self._secret, "HS256"


class Tokens:
    """Reads tokens. ``audience`` and ``issuer`` None: not looked at."""

    def __init__(self, source: Source, *, audience: str | None = None, issuer: str | None = None) -> None:
        self._source = source
        self._audience = audience
        self._issuer = issuer

    async def identify(self, token: str) -> Principal:
        """Return whom a token stands for. Raises Unauthenticated, Denied, Undecided."""
        key, algorithm = await self._source.key_for(_kid(token))
        return principal_of(self._claims(token, key, algorithm))

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp"], "verify_aud": self._audience is not None},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The token has expired.") from error
        except jwt.PyJWTError as error:
            raise Unauthenticated("The token is not valid.") from error
        return claims


def principal_of(claims: dict[str, Any]) -> Principal:
    """Return whom the claims of a token that is in order stand for. Raises Unauthenticated, Denied."""
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise Unauthenticated("The token's scope claim is no text.")
    scopes = frozenset(_SCOPES[word] for word in scope.split() if word in _SCOPES)
    user_id = _tenant(claims)
    if user_id is None and Scope.ADMIN not in scopes:
        raise Denied("A token without a user_id claim is for all tenants, and must have the scope admin.")
    return Principal(f"jwt:{shorten(claims.get('sub'))}", scopes, user_id)


def _tenant(claims: dict[str, Any]) -> str | None:
    """Return the tenant; a claim that is there and names none must not be taken for one that is not there."""
    if "user_id" not in claims:
        return None
    try:
        return _NAME.validate_python(claims["user_id"], strict=True)
    except ValidationError:
        raise Unauthenticated("The token's user_id claim names no tenant.") from None


def _kid(token: str) -> str | None:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise Unauthenticated("This is neither an API key nor a token.") from error
    return kid if isinstance(kid, str) else None
