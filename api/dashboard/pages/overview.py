"""The first screen."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dashboard.answering import page
from api.dashboard.stage import stage_of
from api.dashboard.views.overview import LIVE, read_overview
from api.dashboard.views.runs import RunView
from api.dashboard.visitor import HOME, Looking


def add(router: APIRouter) -> None:
    """Add the first screen."""
    router.add_api_route("", show, methods=["GET"], name=HOME)


async def show(request: Request, visitor: Looking) -> Response:
    """Show whether both stores are in step, and what is going on."""
    backlog = stage_of(request).backlogs.of(visitor.tenant)
    seen = await read_overview(visitor.host, visitor.tenant, backlog)
    running = None if seen.running is None else [RunView(run) for run in seen.running]
    return page(request, visitor, "overview.html", seen=seen, running=running, live=LIVE)
