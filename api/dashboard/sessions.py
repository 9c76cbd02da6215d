"""The tokens that tie a form to the browser and the principal that it was shown to."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from fastapi import Request

from api.access import Principal

COOKIE = "diptych_session"
_ID_LENGTH = 43


class Sessions:
    """A browser has an id in its cookie, and nothing is kept of it here; a token can be checked without.

    ``secret``: servers that share it take each other's tokens.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def id_of(self, request: Request) -> str | None:
        """Return the id in a request's cookie, None where there is none that can be one of ours."""
        given = request.cookies.get(COOKIE)
        return given if given is not None and len(given) == _ID_LENGTH and given.isascii() else None

    def new_id(self) -> str:
        """Return an id that nobody can guess."""
        return secrets.token_urlsafe(32)

    def token(self, session_id: str, principal: Principal) -> str:
        """Return what a form must bring back: good for this browser and this principal alone."""
        said = "\x00".join((session_id, principal.name, principal.user_id or "")).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, said, sha256).hexdigest()

    def token_fits(self, token: str, session_id: str | None, principal: Principal) -> bool:
        """Say whether a form brought back what it was given."""
        if session_id is None:
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(session_id, principal).encode())
