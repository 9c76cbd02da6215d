"""Addresses under the dashboard's that are none: a browser gets a page with the way back, a program the problem."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from api.http.answers import on_error


def add(router: APIRouter) -> None:
    """Add whatever is left; to be added last."""
    router.add_api_route("/{path:path}", lost, methods=["GET", "POST"])


async def lost(request: Request) -> Response:
    """Say that there is no such page. It holds nothing of anybody, so nobody is asked who they are."""
    error = HTTPException(404, "There is no page at this address.")
    if "text/html" in request.headers.get("accept", ""):
        raise error
    return await on_error(request, error)
