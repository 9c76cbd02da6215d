"""Who calls, as a dependency of a route: `caller: Annotated[Principal, Depends(needs(READ))]`.

A program sends its API key or its token as `Authorization: Bearer …`. A browser asks its user for a name and a
password (HTTP Basic): the key or the token goes in as the password, the name is not looked at. A page that answers
HTML needs nothing for that but `needs(…)`: who is not known gets a 401 that makes the browser ask. Since a browser then
sends the key by itself, whatever page had it ask, requests that change anything must not come from another site
(api/http/origin.py).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from api.access import LOCAL, READ, Denied, Principal, Scope, Unauthenticated
from api.access.gate import Gate
from api.http.host import host_of

#: Names whoever sent a request. Raises Unauthenticated, Denied, Undecided. An app that mounts the routes gives its own.
Authenticate = Callable[[Request], Awaitable[Principal]]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where a request's scope keeps who sent it.
PRINCIPAL = "diptych.principal"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")
_BEARER = HTTPBearer(auto_error=False, description="An API key (`diptych keys create`), or a token (JWT).")


class ReadOnly(Denied):
    """The server changes nothing."""


class Misdirected(Denied):
    """The request did not come straight from this machine."""


async def anyone(request: Request) -> Principal:  # noqa: ARG001  # the shape of an Authenticate
    """Name everyone the local principal, where no authentication is configured."""
    return LOCAL


def authenticating(gate: Gate) -> Authenticate:
    """Return what names whoever sent a request by the key or the token in it."""

    async def authenticate(request: Request) -> Principal:
        principal = await gate.identify(_credential(request))
        if principal is LOCAL:
            _check_local(request)
        return principal

    return authenticate


def needs(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that gives the caller, who has this scope. Raises Unauthenticated, Denied, Undecided."""

    async def caller(request: Request, _: Annotated[object, Depends(_BEARER)]) -> Principal:
        principal: Principal = request.scope[PRINCIPAL]
        principal.require(scope)
        if scope is not READ and request.method not in SAFE_METHODS and host_of(request).config.read_only:
            raise ReadOnly("This server is read-only.")
        return principal

    return caller


def _credential(request: Request) -> str | None:
    """Return the key or the token that a request carries. Raises Unauthenticated where it cannot be read."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            return _password(value.strip())
    raise Unauthenticated("The Authorization header must be of the scheme Bearer or Basic.")


def _password(encoded: str) -> str:
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated("The Authorization header cannot be read.") from error
    return password or name


def _check_local(request: Request) -> None:
    """Refuse what a page of another site, or a proxy, has sent on to a server that lets in whoever is on this machine.

    A page whose name suddenly leads to this machine (DNS rebinding) is of the same origin for its browser; the name in
    the request's Host header gives it away.
    """
    if any(name in request.headers for name in _FORWARDED) or not is_loopback(request.url.hostname or ""):
        raise Misdirected("Without an API key only this machine itself is served, by the name localhost.")


def is_loopback(host: str) -> bool:
    """Say whether a name or an address is this machine's own, by its look alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
