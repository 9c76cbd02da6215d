"""`/memories`: stored, read, found, changed, deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.http import late
from api.http.models.memories import (
    BatchAsked,
    BatchTold,
    DeleteAllQuery,
    DeletedAllTold,
    HitsTold,
    ListQuery,
    MemoryAsked,
    MemoryTold,
    OneQuery,
    PageTold,
    PatchAsked,
    RelatedQuery,
    ResultTold,
    SearchAsked,
)
from api.http.routes.asking import Hosted, MemoryId, Reader, Writer, answers, beneath, tenant_of
from api.http.routes.preconditions import IfMatch, IfNoneMatch, etag, expected, known
from api.http.routes.repeating import refuse_another
from api.shapes import deleted_all_json, memory_json, page_json, result_json, search_json
from persistence.errors import BulkInterruptedError, GraphUnavailableError, InvalidInputError, MemoryNotFoundError
from persistence.results import Outcome, PersistenceResult, SearchResult
from persistence.text import Name

IdempotencyKey = Annotated[
    Name | None, Header(description="Stands in for an id: repeating the request with the same key stores it once.")
]


async def store(
    request: Request,
    response: Response,
    caller: Writer,
    host: Hosted,
    asked: MemoryAsked,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Store a memory: 201, also where the graph has yet to follow (`outcome` says so); 200 for one repeated."""
    late.refuse(request, asked)
    user_id = tenant_of(caller, asked.user_id)
    result = await host.memories.store(**asked.given(user_id), idempotency_key=idempotency_key)
    if idempotency_key is not None:
        refuse_another(asked, result, idempotency_key)
    _refuse_undone(result)
    response.status_code = 201 if result.changed else 200
    response.headers.update(etag(result.version))
    response.headers.update(beneath(request, result.id, {"user_id": user_id}))
    return _stored(result)


async def store_many(
    request: Request, response: Response, caller: Writer, host: Hosted, asked: BatchAsked
) -> dict[str, Any]:
    """Store memories: 201 with an outcome for each; 207 where the call stopped half-way."""
    late.refuse(request, asked)
    given = [memory.given(tenant_of(caller, memory.user_id or asked.user_id)) for memory in asked.memories]
    try:
        results: Mapping[int, Any] = dict(enumerate(await host.memories.store_many(given)))
        error = None
    except BulkInterruptedError as interrupted:
        results, error = interrupted.results, interrupted.message
        response.status_code = 207
    every = [results.get(position) for position in range(len(given))]
    return _batch(every, error)


async def list_memories(caller: Reader, host: Hosted, asked: Annotated[ListQuery, Query()]) -> dict[str, Any]:
    """List a tenant's memories in the order of their ids."""
    page = await host.memories.get_all(
        user_id=tenant_of(caller, asked.user_id),
        agent_id=asked.agent_id,
        run_id=asked.run_id,
        filters=_filters(asked.filters),
        after=asked.after,
        limit=asked.limit,
    )
    return page_json(page)


async def search(caller: Reader, host: Hosted, asked: SearchAsked) -> dict[str, Any]:
    """Find the memories nearest in meaning to a text or an embedding, best first."""
    found = await host.memories.search(
        asked.query,
        user_id=tenant_of(caller, asked.user_id),
        limit=asked.limit,
        agent_id=asked.agent_id,
        run_id=asked.run_id,
        filters=asked.filters,
        expand=asked.expand,
    )
    return search_json(found)


async def get_memory(
    caller: Reader,
    host: Hosted,
    id: MemoryId,  # noqa: A002  # the field's name
    asked: Annotated[OneQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Show one memory; its version is the ETag. 304 where that version is known already."""
    memory = await host.memories.get(id, user_id=tenant_of(caller, asked.user_id))
    if memory is None:
        raise MemoryNotFoundError
    if known(if_none_match, memory.version):
        return Response(status_code=304, headers=etag(memory.version))
    shown = MemoryTold.model_validate(memory_json(memory))
    return JSONResponse(shown.model_dump(mode="json", exclude_unset=True), headers=etag(memory.version))


async def related(
    request: Request,
    caller: Reader,
    host: Hosted,
    id: MemoryId,  # noqa: A002  # the field's name
    asked: Annotated[RelatedQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response | dict[str, Any]:
    """Find memories that share entities with one, or are reached over relationships."""
    if not _says(request, "/related"):
        return await get_memory(caller, host, f"{id}/related", OneQuery(user_id=asked.user_id), if_none_match)
    found: SearchResult = await host.memories.related(
        id, user_id=tenant_of(caller, asked.user_id), depth=asked.depth, limit=asked.limit
    )
    return search_json(found)


async def patch(
    request: Request,
    response: Response,
    caller: Writer,
    host: Hosted,
    id: MemoryId,  # noqa: A002  # the field's name
    asked: PatchAsked,
    query: Annotated[OneQuery, Query()],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Change fields of a memory; with If-Match only the version that is named, 412 otherwise."""
    late.refuse(request, asked)
    user_id = tenant_of(caller, query.user_id)
    version = await expected(host.memories, if_match, id, user_id)
    result = await host.memories.update(id, user_id=user_id, expected_version=version, **asked.changes)
    _refuse_undone(result)
    response.headers.update(etag(result.version))
    return result_json(result, "updated")


async def delete(
    caller: Writer,
    host: Hosted,
    id: MemoryId,  # noqa: A002  # the field's name
    asked: Annotated[OneQuery, Query()],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Delete a memory. One that is gone already stays gone, and `status` says so; 404 where nothing is known of it."""
    user_id = tenant_of(caller, asked.user_id)
    version = await expected(host.memories, if_match, id, user_id)
    result = await host.memories.delete(id, user_id=user_id, expected_version=version)
    _refuse_undone(result)
    if result.version is None:
        raise MemoryNotFoundError
    return result_json(result, "deleted" if result.changed else "already_deleted")


async def delete_all(caller: Writer, host: Hosted, asked: Annotated[DeleteAllQuery, Query()]) -> dict[str, Any]:
    """Delete every memory of a tenant, whose user_id has to be said once more in `confirm`."""
    user_id = tenant_of(caller, asked.user_id)
    if asked.confirm != user_id:
        raise InvalidInputError("confirm", asked.confirm, "it must be the user_id whose memories are to be deleted")
    done = await host.memories.delete_all(user_id=user_id)
    return deleted_all_json(user_id, done)


def _says(request: Request, end: str) -> bool:
    """Say whether the path as it was sent ends so: an id's own slashes may be percent-encoded."""
    raw = request.scope.get("raw_path")
    return raw is None or bytes(raw).endswith(end.encode())


def _filters(text: str | None) -> Mapping[str, Any] | None:
    if text is None:
        return None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("filters", text, "it must be a JSON object") from error
    if not isinstance(given, dict):
        raise InvalidInputError("filters", text, "it must be a JSON object")
    return given


def _refuse_undone(result: PersistenceResult) -> None:
    """Refuse to call a success what was undone."""
    if result.outcome is Outcome.ROLLED_BACK:
        raise GraphUnavailableError("The graph could not be written, and the former state was restored.")


def _stored(result: PersistenceResult) -> dict[str, Any]:
    return result_json(result, "stored" if result.changed else "already_stored")


def _batch(results: Sequence[PersistenceResult | None], error: str | None) -> dict[str, Any]:
    there = [result for result in results if result is not None]
    return {
        "results": [None if result is None else _stored(result) for result in results],
        "stored": sum(result.outcome is not Outcome.ROLLED_BACK for result in there),
        "pending": sum(result.outcome is Outcome.PENDING for result in there),
        "error": error,
    }


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/memories", tags=["memories"])
    repeated = {200: {"model": ResultTold, "description": "It was stored before, under the same key."}}
    partly = {
        207: {"model": BatchTold, "description": "The call stopped half-way; null stands for what has no outcome."}
    }
    unchanged = {304: {"description": "It is at the version that is known already."}}
    body = (400, 413, 415)
    query = late.late(late.tenant_in_query)
    one = late.late(late.tenant_in_body, late.memory_in_body)
    many = late.late(late.memories_in_body)
    some = late.late(late.tenant_in_query, late.memory_in_body)
    asked = late.late(late.tenant_in_body)
    stored = answers(ResultTold, 409, *body, status=201, also=repeated)
    router.add_api_route("", store, methods=["POST"], dependencies=one, **stored)
    router.add_api_route("", list_memories, dependencies=query, **answers(PageTold))
    router.add_api_route("", delete_all, methods=["DELETE"], dependencies=query, **answers(DeletedAllTold))
    batch = answers(BatchTold, *body, status=201, also=partly)
    router.add_api_route("/batch", store_many, methods=["POST"], dependencies=many, **batch)
    router.add_api_route("/search", search, methods=["POST"], dependencies=asked, **answers(HitsTold, *body))
    router.add_api_route("/{id:path}/related", related, dependencies=query, **answers(HitsTold, 404))
    router.add_api_route("/{id:path}", get_memory, dependencies=query, **answers(MemoryTold, 404, also=unchanged))
    patched = answers(ResultTold, 404, 412, *body)
    router.add_api_route("/{id:path}", patch, methods=["PATCH"], dependencies=some, **patched)
    router.add_api_route("/{id:path}", delete, methods=["DELETE"], dependencies=query, **answers(ResultTold, 404, 412))
    return router
