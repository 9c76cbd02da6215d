"""The outbox: memories in doubt, and entries that were given up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dashboard.answering import page
from api.dashboard.names import memory_named
from api.dashboard.views.reading import obtained, of_truth
from api.dashboard.visitor import Looking

PAGE = 50


def add(router: APIRouter) -> None:
    """Add the list of the outbox."""
    router.add_api_route("/outbox", show, methods=["GET"])


async def show(
    request: Request,
    visitor: Looking,
    user_id: str = "",
    state: Annotated[str, Query(pattern="^(all|dead|waiting)$")] = "all",
    after_user: str | None = None,
    after_id: str | None = None,
) -> Response:
    """Show a page of entries, in the order of their memories."""
    tenant = visitor.named(user_id)
    dead = {"all": None, "dead": True, "waiting": False}[state]
    after = memory_named(after_user, after_id) if after_user is not None and after_id is not None else None
    parts = visitor.host.memories.parts
    entries = await of_truth(
        parts, lambda store: store.outbox_page(dead=dead, after=after, limit=PAGE + 1, user_id=tenant)
    )
    stats = await obtained(of_truth(parts, lambda store: store.outbox_stats(tenant)))
    return page(
        request,
        visitor,
        "outbox.html",
        entries=entries[:PAGE],
        following=entries[PAGE - 1].key if len(entries) > PAGE else None,
        stats=stats,
        asked={"user_id": tenant or "", "state": state},
    )
