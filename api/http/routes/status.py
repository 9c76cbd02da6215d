"""`GET /persistence/status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from api.http.models.status import StatusTold
from api.http.routes.asking import Hosted, Reader, answers
from api.operating import board_json
from persistence.results import HealthStatus


async def status(caller: Reader, host: Hosted, response: Response) -> Mapping[str, Any]:
    """Say how the stores stand, what is in doubt, what the last checks found; 503 where truth is away.

    Whoever may act for one tenant only gets that tenant's numbers and runs.
    """
    found = await host.desk.board.look(caller.user_id)
    response.headers["Cache-Control"] = "no-store"
    if found.health.status is HealthStatus.UNHEALTHY:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return board_json(found)


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["persistence"])
    away = {503: {"model": StatusTold, "description": "The truth cannot be reached; the same body."}}
    router.add_api_route("/persistence/status", status, **answers(StatusTold, also=away))
    return router
