"""`diptych serve` with routes that write and that begin a check: ``python -m tests.faults.serve_child OPTIONS``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api.access import ADMIN, WRITE, Principal
from api.cli._app import run_app
from api.http import Host, host_of, needs
from api.http.faces import ROUTERS, Face
from api.operating import Order
from persistence.ports.runs import Depth, RunKind
from sync import Pace

Standing = Annotated[Host, Depends(host_of)]


async def store(memory: dict[str, Any], host: Standing, _: Annotated[Principal, Depends(needs(WRITE))]) -> int:
    """Store one memory; return its version."""
    return (await host.memories.store(**memory)).version


async def check(host: Standing, _: Annotated[Principal, Depends(needs(ADMIN))]) -> str:
    """Begin a check that takes a long time; return its run."""
    order = Order(RunKind.CHECK, Depth.FULL, pace=Pace(rows_per_second=20))
    return str((await host.desk.begin(order)).id)


def make_work() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/work")
    router.add_api_route("/store", store, methods=["POST"])
    router.add_api_route("/check", check, methods=["POST"])
    return router


if __name__ == "__main__":
    assert isinstance(ROUTERS, dict)
    ROUTERS[Face.API] = (*ROUTERS[Face.API], make_work)
    run_app()
