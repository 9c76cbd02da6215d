"""What lies around all of it: a defect becomes a problem without its text, and each answer carries the safe headers."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.problems import Answer
from api.http.traced import request_id_of
from persistence.log import get_logger

log = get_logger("http")

#: For answers that say nothing else themselves: data for programs, of which a browser makes and keeps nothing.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Shell:
    """Middleware; within it whatever raises is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = False

        async def dress(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if message["status"] == HTTPStatus.SERVICE_UNAVAILABLE:  # from others' applications, too
                    headers.setdefault("Retry-After", str(problems.RETRY_AFTER))
            await send(message)

        try:
            await self.app(scope, receive, dress)
        except Exception:
            log.exception(
                "A request ended by a defect.", action="http", request_id=request_id_of(scope), method=scope["method"]
            )
            if began:
                raise  # what was begun is broken off, so that nobody takes it for whole
            await _unexpected().response(request_id_of(scope))(scope, receive, dress)


def _unexpected() -> Answer:
    return Answer(problems.INTERNAL, "The server's log says more, under the id of this request.")
