"""The id of a request: given by whoever asks or made here, in every answer and in every line of the log."""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

HEADER = "X-Request-ID"
_KEPT = "diptych.request_id"
_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)


class Traced:
    """Middleware that gives each request its id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[_KEPT] = request_id = _id_of(Headers(scope=scope).get(HEADER))

        async def echo(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id):
            await self.app(scope, receive, echo)


def request_id_of(scope: Any) -> str | None:
    """Return the id of a request; None in an app that gives none."""
    found: str | None = scope.get(_KEPT)
    return found


def _id_of(given: str | None) -> str:
    """Return the id that was given where it is safe to log and to send back."""
    return given if given is not None and _SANE.fullmatch(given) else uuid.uuid4().hex
