"""`/livez` and `/readyz`: whether the process works, and whether it is to be sent requests."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from api.http import problems
from api.http.host import Host
from api.http.models.problem import defects
from api.http.problems import Answer
from api.http.traced import request_id_of
from persistence.results import HealthStatus

#: Seconds for which an answer of the stores is good: anybody may ask, and must not be able to keep them busy.
FRESH = 1.0
ASK_TIME = 2.0


def make_probes(host: Host) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["probes"])
    truth = _Truth(host)

    @router.get("/livez", responses=defects())
    async def livez() -> dict[str, str]:
        """Say that the process answers. It asks nothing else: restarting it would mend nothing else."""
        return {"status": "alive"}

    @router.get("/readyz", response_model=dict[str, str], responses=defects(503))
    async def readyz(request: Request) -> Any:
        """Say whether requests can be served: the truth answers, and the server is not about to end.

        A graph that is down is no reason to send requests elsewhere: they are served, and it is brought up later.
        """
        why = "The server is about to end." if host.drain.under_way else await truth.trouble()
        return {"status": "ready"} if why is None else _not_ready(why, request)

    return router


def _not_ready(why: str, request: Request) -> Response:
    answer = Answer(problems.NOT_READY, why, retryable=True)
    return answer.response(request_id_of(request.scope))


class _Truth:
    """Asks the stores now and then, whoever asks how often."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._asking = asyncio.Lock()
        self._asked: float | None = None
        self._trouble: str | None = None

    async def trouble(self) -> str | None:
        """Return why the truth cannot be used; None where it can."""
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked > FRESH:
                health = await self._host.desk.board.health(timeout=ASK_TIME)
                down = health.vector.status is HealthStatus.UNHEALTHY
                self._trouble = "The vector store does not answer." if down else None
                self._asked = time.monotonic()
        return self._trouble
