"""Puts the dashboard together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from api.dashboard.answering import route_class
from api.dashboard.pages import (
    actions,
    confirming,
    files,
    finding,
    inconsistencies,
    lost,
    memory,
    outbox,
    overview,
    runs,
)
from api.dashboard.stage import Stage
from api.http.host import Host

PREFIX = "/dashboard"
_PAGES = (overview, finding, memory, inconsistencies, outbox, runs, confirming, actions, files, lost)


def make_dashboard() -> APIRouter:
    """Make the routes of the dashboard, under ``/dashboard``.

    The lifespan of our own application looks at the backlog now and then, as long as it serves.
    """
    stage = Stage()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        host = getattr(app.state, "host", None)
        if not isinstance(
            host, Host
        ):  # an application that finds its host by itself: the backlog is looked at with its pages
            yield
            return
        async with stage.backlogs.watching(host.memories):
            yield

    router = APIRouter(
        prefix=PREFIX, route_class=route_class(stage), include_in_schema=False, lifespan=lifespan, tags=["dashboard"]
    )
    for module in _PAGES:
        module.add(router)
    return router
