"""Who calls, as a dependency of a route: `caller: Annotated[Principal, Depends(needs(READ))]`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from api.access import LOCAL, Principal, Scope

#: Names whoever sent a request. Raises Unauthenticated. An app that mounts the routers gives its own.
Authenticate = Callable[[Request], Awaitable[Principal]]


async def anyone(request: Request) -> Principal:  # noqa: ARG001  # the shape of an Authenticate
    """Name everyone the local principal, where no authentication is configured."""
    return LOCAL


def needs(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that gives the caller, who has this scope. Raises Unauthenticated, Denied."""

    async def caller(request: Request) -> Principal:
        authenticate: Authenticate = request.app.state.authenticate
        principal = await authenticate(request)
        principal.require(scope)
        return principal

    return caller
