"""The limits of one request: how long it may take, and how long its body may be."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.caller import SAFE_METHODS
from api.http.drain import Drain
from api.http.problems import Answer
from api.http.traced import request_id_of

_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
EVENTS = "text/event-stream"


class InTime:
    """Middleware: an answer begins within so many seconds; a stream of events goes on until the server is drained."""

    def __init__(self, app: ASGIApp, seconds: float, drain: Drain) -> None:
        self.app = app
        self._seconds = seconds
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = ended = False

        async def watch(message: Message) -> None:
            nonlocal began, ended
            if message["type"] == "http.response.start":
                began = True
                self._begin(clock, message)
            elif not message.get("more_body", False):
                ended = True
            await send(message)

        clock = asyncio.timeout(self._seconds)
        try:
            async with clock:
                self._drain.add(clock)
                await self.app(scope, receive, watch)
        except TimeoutError:
            if not clock.expired():
                raise
            if not began:
                why = "The server ended before" if self._drain.under_way else "It took too long until"
                await _late(scope, why).response(request_id_of(scope))(scope, receive, send)
            elif not ended:
                await send(_END)
        finally:
            self._drain.discard(clock)

    def _begin(self, clock: asyncio.Timeout, message: Message) -> None:
        if not clock.expired():
            clock.reschedule(None)
        if Headers(raw=message["headers"]).get("content-type", "").startswith(EVENTS):
            self._drain.goes_on(clock)


def _late(scope: Scope, why: str) -> Answer:
    """Return what is known of a request that was given up: of one that may have changed something, nothing."""
    if scope["method"] in SAFE_METHODS:
        return Answer(problems.TIMED_OUT, f"{why} there was an answer.", "repeat it, or ask for less", retryable=True)
    return Answer(
        problems.UNKNOWN_OUTCOME,
        f"{why} there was an answer; the request may or may not have had its effect.",
        "look at what it was to change; if the change is not there, repeat it",
    )


class Sized:
    """Middleware: a body is so many bytes long at most, whether it says its length or comes in pieces."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _announced(scope) > self._most:
            await self._refuse(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise _TooLong(self._most)
            return message

        try:
            await self.app(scope, counted, send)
        except _TooLong:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(problems.TOO_LARGE, str(_TooLong(self._most).detail))
        await answer.response(request_id_of(scope))(scope, receive, send)


class _TooLong(HTTPException):
    """A body is too long; an HTTPException, because frameworks pass that on when they read a body."""

    def __init__(self, most: int) -> None:
        super().__init__(problems.TOO_LARGE.status.value, f"A body may be {most:,} bytes long.")


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() and length.isascii() else 0
