"""The guard before every route: whoever is not known gets no further, also where a route forgets to ask."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import LOCAL, Denied, Principal, Unauthenticated, Undecided
from api.http.answers import answer_of
from api.http.caller import PRINCIPAL, Authenticate
from api.http.limiter import Limiter, Taken
from api.http.traced import request_id_of

#: Whoever runs the server must be able to ask these without a key.
PROBES = frozenset({"/livez", "/readyz"})


class Guard:
    """Middleware: names the sender of a request, before its body is read, and counts it."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate, limiter: Limiter) -> None:
        self.app = app
        self._authenticate = authenticate
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_probe(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._guarded(Request(scope, receive), send)

    async def _guarded(self, request: Request, send: Send) -> None:
        scope, receive = request.scope, request.receive
        try:
            scope[PRINCIPAL] = principal = await self._authenticate(request)
        except (Unauthenticated, Denied, Undecided) as error:
            await answer_of(error, request).response(request_id_of(scope))(scope, receive, send)
            return
        taken = await self._count(principal)
        if taken is None:
            await self.app(scope, receive, send)
        elif taken.allowed:
            await self.app(scope, receive, _with_headers(taken, send))
        else:
            await taken.refusal().response(request_id_of(scope))(scope, receive, _with_headers(taken, send))

    async def _count(self, principal: Principal) -> Taken | None:
        """Count a request; of two tenants each has its own count, even where their tokens name the same subject."""
        if principal is LOCAL:
            return None
        return await self._limiter.take(repr((principal.name, principal.user_id)))


def _is_probe(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) in PROBES


def _with_headers(taken: Taken, send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(taken.headers())
        await send(message)

    return add
