"""Refuses what a page of another site makes a browser send: a browser adds what it knows to such requests by itself.

That is the key that its user once typed in; or, where no key is needed, that it runs on this machine.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http import problems
from api.http.caller import SAFE_METHODS
from api.http.problems import Answer
from api.http.traced import request_id_of


class SameSite:
    """Middleware. ``origins``: of other sites, those that may."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._may(scope):
            await self.app(scope, receive, send)
            return
        answer = Answer(problems.CROSS_SITE, "A page of another site must not change anything here.")
        await answer.response(request_id_of(scope))(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        """Say whether a request changes nothing, or is not from a browser, or from a page that may."""
        headers = Headers(scope=scope)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if scope["method"] in SAFE_METHODS or origin in self._origins:
            return True
        if site is not None:
            return site in {"same-origin", "none"}
        return origin is None or urlsplit(origin).netloc == headers.get("host")
