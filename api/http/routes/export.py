"""`GET /export`: memories as JSON lines, streamed a page at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.access import ADMIN
from api.exporting import Export
from api.http.models.memories import ExportQuery
from api.http.routes.asking import Hosted, Reader, answers
from persistence.errors import InvalidInputError

MEDIA_TYPE = "application/x-ndjson"
_AS_FILE = {"Content-Disposition": 'attachment; filename="diptych-export.jsonl"', "Cache-Control": "no-store"}


async def export(caller: Reader, host: Hosted, asked: Annotated[ExportQuery, Query()]) -> StreamingResponse:
    """Export a tenant's memories as JSON lines, which `diptych import` reads; all tenants' for the scope admin.

    Others may go on writing: each memory is exported as it is when its turn comes. A stream that breaks off is not
    ended properly, and a full export says in its last line how much it holds.
    """
    user_id = caller.tenant(asked.user_id)
    if user_id is None:
        caller.require(ADMIN)
    if asked.full and not asked.embeddings:
        raise InvalidInputError("embeddings", False, "a full export has its embeddings")
    pages = Export(host.memories.parts.truth, user_id, asked.full, asked.embeddings).lines()
    # The first page is read before the answer begins, so that a store that is away is said as it should be.
    first: list[str] = await anext(pages, [])
    return StreamingResponse(_lines(first, pages), media_type=MEDIA_TYPE, headers=_AS_FILE)


async def _lines(first: list[str], pages: AsyncGenerator[list[str]]) -> AsyncIterator[str]:
    async with aclosing(pages):
        yield _text(first)
        async for page in pages:
            yield _text(page)


def _text(page: list[str]) -> str:
    return "".join(f"{line}\n" for line in page)


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["memories"])
    lines = {
        200: {"description": "The memories, a line each.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
    }
    router.add_api_route("/export", export, response_class=StreamingResponse, **answers(None, also=lines))
    return router
