"""The methods of a path: HEAD wherever there is GET, and which others there are, for whoever used one that is none."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Headed:
    """Middleware: HEAD is GET without its body, which load balancers ask probes with (RFC 9110, section 9.3.2).

    What would be streamed is told, once its answer has begun, that its reader has left.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        asked, answered, body = _as_get(scope), asyncio.Event(), iter([_NOTHING_SENT])

        async def hear() -> Message:
            if (message := next(body, None)) is not None:
                return message
            await answered.wait()
            return {"type": "http.disconnect"}

        async def head_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send(_NO_BODY)
                answered.set()

        try:
            await self.app(asked, hear, head_only)
        finally:
            scope.update({name: value for name, value in asked.items() if name not in _CHANGED})


_NOTHING_SENT: Message = {"type": "http.request", "body": b"", "more_body": False}
_NO_BODY: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_CHANGED = frozenset({"method", "asgi"})


def _as_get(scope: Scope) -> Scope:
    """Return a request of its own: the server goes by the method of the one it knows.

    By the version of ASGI that it is said to be, streams listen for a reader that leaves.
    """
    return {**scope, "method": "GET", "asgi": {**scope["asgi"], "spec_version": "2.3"}}


def allowed(request: Request) -> str:
    """Return all methods of the path of a request, as the header Allow lists them."""
    found = [method for method in METHODS if _takes(request, method)]
    return ", ".join(["HEAD", *found] if "GET" in found else found)


def _takes(request: Request, method: str) -> bool:
    """Say whether a route would take the request with this method."""
    where = {name: request.scope[name] for name in ("type", "path", "root_path") if name in request.scope}
    routes = request.app.routes
    return any(route.matches({**where, "method": method, "headers": []})[0] is Match.FULL for route in routes)
