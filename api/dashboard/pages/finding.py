"""The search box: memories by id, by meaning, or page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dashboard.answering import page
from api.dashboard.views.finding import find
from api.dashboard.visitor import Looking


def add(router: APIRouter) -> None:
    """Add the search."""
    router.add_api_route("/memories", search, methods=["GET"])


async def search(
    request: Request,
    visitor: Looking,
    q: str = "",
    user_id: str = "",
    after: Annotated[str | None, Query()] = None,
) -> Response:
    """Show what is found under an id or near a text; without either, the tenant's memories."""
    tenant = visitor.named(user_id)
    found = await find(visitor.host, tenant, q.strip(), after)
    return page(request, visitor, "finding.html", found=found, q=q.strip(), user_id=tenant or "")
