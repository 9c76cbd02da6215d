"""The page of one memory."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dashboard.answering import page
from api.dashboard.names import memory_named
from api.dashboard.views.memory import read_memory, written_about
from api.dashboard.visitor import Looking
from persistence.errors import MemoryNotFoundError


def add(router: APIRouter) -> None:
    """Add the page of one memory; its identity is in the query, because an id may hold any character."""
    router.add_api_route("/memory", show, methods=["GET"])


async def show(request: Request, visitor: Looking, id: str, user_id: str = "") -> Response:  # noqa: A002  # as everywhere
    """Show both copies of a memory, and all that is known of it."""
    tenant = visitor.named(user_id)
    if tenant is None:
        raise MemoryNotFoundError("A memory is looked up under its tenant; name the user_id.")
    view = await read_memory(visitor.host, memory_named(tenant, id))
    if not view.known:
        raise MemoryNotFoundError
    return page(request, visitor, "memory.html", view=view, written_about=written_about)
