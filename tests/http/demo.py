"""Routes for tests of what lies around routes: they ask for scopes, read bodies, fail, take their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.access import ADMIN, READ, WRITE, Principal
from api.http import Host, hosted, needs
from persistence import errors

TOLD = "what a driver says, with a password"


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    size: int = Field(ge=1)


def make_demo() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/demo")
    router.add_api_route("/read", read, methods=["GET"])
    router.add_api_route("/tenants/{user_id}", tenant, methods=["GET"])
    router.add_api_route("/write", write, methods=["POST"])
    router.add_api_route("/admin", admin, methods=["GET"])
    router.add_api_route("/admin", admin, methods=["POST"], operation_id="order")
    router.add_api_route("/fail/{name}", fail, methods=["GET"])
    router.add_api_route("/defect", defect, methods=["GET"])
    router.add_api_route("/touch", read, methods=["POST"])
    router.add_api_route("/slow", slow, methods=["GET"])
    router.add_api_route("/slow", slow, methods=["POST"], operation_id="slow_change")
    router.add_api_route("/events", events, methods=["GET"])
    router.add_api_route("/memories", count, methods=["GET"])
    return router


async def read(caller: Annotated[Principal, Depends(needs(READ))]) -> dict[str, str | None]:
    return {"name": caller.name, "user_id": caller.user_id}


async def tenant(user_id: str, caller: Annotated[Principal, Depends(needs(READ))]) -> dict[str, str | None]:
    return {"tenant": caller.tenant(user_id)}


async def write(thing: Thing, caller: Annotated[Principal, Depends(needs(WRITE))]) -> Thing:
    return thing


async def admin(caller: Annotated[Principal, Depends(needs(ADMIN))]) -> dict[str, str]:
    return {"done": "yes"}


async def fail(name: str, caller: Annotated[Principal, Depends(needs(READ))]) -> None:
    made = {
        "version": errors.VersionConflictError(1, 2),
        "input": errors.InvalidInputError("content", "x" * 10, "it must be shorter"),
        "down": errors.VectorStoreUnavailableError(),
        "unknown": errors.OutcomeUnknownError(),
        "bulk": errors.BulkInterruptedError({0: "a", 2: "b"}, 5),
        "missing": errors.MemoryNotFoundError(),
    }[name]
    raise made from RuntimeError(TOLD)


async def defect(caller: Annotated[Principal, Depends(needs(READ))]) -> None:
    raise RuntimeError(TOLD)


async def slow(caller: Annotated[Principal, Depends(needs(READ))]) -> None:
    await asyncio.Event().wait()


async def events(request: Request, caller: Annotated[Principal, Depends(needs(READ))]) -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        yield b"data: begun\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(stream(), media_type="text/event-stream")


async def count(
    user_id: str, host: Annotated[Host, Depends(hosted)], caller: Annotated[Principal, Depends(needs(READ))]
) -> dict[str, int | None]:
    return {"count": (await host.memories.count(user_id=user_id)).value}
