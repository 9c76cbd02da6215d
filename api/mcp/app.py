"""Streamable HTTP: an ASGI application that says who calls before the protocol's server hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from api.access import READ, Denied, Principal, Unauthenticated
from api.http.caller import Authenticate, anyone
from api.http.host import Host
from api.http.problems import RETRY_AFTER
from api.mcp.server import make_server

#: Sessions at once; one more is refused until another ends, or has been idle for so many seconds.
MAX_SESSIONS, IDLE = 1_000, 1_800.0
LOCALHOST = ("127.0.0.1", "localhost", "[::1]")
_CALLER = "diptych.caller"


def make_mcp(
    host: Host, *, authenticate: Authenticate = anyone, hosts: Sequence[str] = (), metadata_url: str | None = None
) -> McpApp:
    """Make the application on a host that is open as long as it serves.

    It answers at whatever path it is routed to (``app.add_route("/mcp", make_mcp(host))``), while its ``lifespan`` is
    entered. ``hosts``: the names, with a port unless it is the scheme's own, under which browsers and clients may reach
    it beside localhost; a request for another name, or from a page of another, is refused (DNS rebinding).
    ``metadata_url``: where OAuth clients learn which authorization server to ask (RFC 9728).
    """
    return McpApp(host, authenticate, security(hosts), metadata_url)


def security(hosts: Sequence[str]) -> TransportSecuritySettings:
    """Return the names that are ours: localhost on any port, and those given."""
    names = [*LOCALHOST, *(f"{name}:*" for name in LOCALHOST), *hosts]
    origins = [f"{scheme}://{name}" for name in names for scheme in ("http", "https")]
    return TransportSecuritySettings(allowed_hosts=names, allowed_origins=origins)


class McpApp:
    """The ASGI application; ``lifespan`` is to be entered once, around everything it serves."""

    def __init__(
        self, host: Host, authenticate: Authenticate, guard: TransportSecuritySettings, metadata_url: str | None
    ) -> None:
        self._authenticate = authenticate
        self._metadata_url = metadata_url
        self._leaving = False
        self._listening: set[anyio.CancelScope] = set()
        self._sessions = StreamableHTTPSessionManager(
            make_server(host, _caller),
            security_settings=guard,
            max_request_body_size=host.config.max_body_bytes,
            max_sessions=MAX_SESSIONS,
            session_idle_timeout=IDLE,
        )

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Serve inside the block; at its end every session ends, and what it had under way is cancelled."""
        async with self._sessions.run():
            yield

    def hang_up(self) -> None:
        """End the streams on which clients only listen: a server that is to end would wait for them in vain."""
        self._leaving = True
        for stream in self._listening:
            stream.cancel()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._admitted(scope, receive)
        if answer is not None:
            await answer(scope, receive, send)
        elif scope["method"] == "GET":
            await self._listened(scope, receive, send)
        else:
            await self._sessions.handle_request(scope, receive, send)

    async def _listened(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let a client listen until it leaves, or we do."""
        if self._leaving:
            await Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER)})(scope, receive, send)
            return
        with anyio.CancelScope() as stream:
            self._listening.add(stream)
            try:
                await self._sessions.handle_request(scope, receive, send)
            finally:
                self._listening.discard(stream)

    async def _admitted(self, scope: AsgiScope, receive: Receive) -> Response | None:
        """Name whoever calls in the scope; return the refusal of whoever may not."""
        request = Request(scope, receive)
        try:
            caller = await self._authenticate(request)
            caller.require(READ)
        except Unauthenticated:
            return self._refusal(401, "invalid_token" if "authorization" in request.headers else None)
        except Denied:
            return self._refusal(403, "insufficient_scope")
        scope[_CALLER], scope["user"] = caller, _owner(caller)
        return None

    def _refusal(self, status: int, error: str | None) -> Response:
        """Say by which scheme to authenticate (RFC 6750), and where to learn more; nothing of why."""
        said = {"realm": "diptych", "error": error, "resource_metadata": self._metadata_url}
        said["scope"] = READ.value if error == "insufficient_scope" else None
        challenge = ", ".join(f'{name}="{value}"' for name, value in said.items() if value)
        body = {"error": error or "unauthorized"}
        return JSONResponse(body, status, headers={"WWW-Authenticate": f"Bearer {challenge}"})


def _caller(context: Any) -> Principal:
    """Return who made the request that carried this message: each is named anew, whoever began the session."""
    caller = context.request.scope[_CALLER]
    if not isinstance(caller, Principal):
        raise TypeError(type(caller))
    return caller


def _owner(caller: Principal) -> AuthenticatedUser:
    """Return the caller as the session manager knows one: a session answers only to whoever began it."""
    subject = repr((caller.user_id, sorted(caller.scopes)))
    return AuthenticatedUser(AccessToken(token="", client_id=caller.name, subject=subject, scopes=[]))
