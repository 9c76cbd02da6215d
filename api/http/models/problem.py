"""Errors as RFC 9457 says them, and how they are declared in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.http.models.sync import RunTold

MEDIA_TYPE = "application/problem+json"

_WHAT = {
    400: "The body cannot be read: it is not UTF-8, say.",
    401: "The request names nobody who is known here.",
    403: "Whoever asks may not do this; the answer is the same whether what is asked for exists or not.",
    404: "There is no such thing, or none that whoever asks may see.",
    405: "The method is none of this path.",
    409: "Something else is in the way, or under way.",
    412: "The memory is at another version than the one that the request stands on.",
    413: "The body is too large.",
    415: "The body is of another media type than JSON.",
    422: "The request cannot be carried out as it is; `errors` names every field at fault.",
    429: "Too many requests; `Retry-After` says when the next one may come.",
    500: "A defect; the request id leads to what is logged of it.",
    503: "A store cannot be reached, or the process is about to end; `Retry-After` says when to try again.",
    504: "It took longer than a request may; it may or may not have been carried out.",
}

#: What any request may be answered with.
_ALWAYS = (401, 403, 422, 429, 500, 503, 504)


class Fault(BaseModel):
    """One field at fault."""

    where: str | None = Field(None, alias="in", description="The part of the request: body, query, path, header.")
    field: str = Field(description="Where it is in there, such as `entities.0.name`.")
    message: str = Field(description="What is allowed there.")


class Problem(BaseModel):
    """What went wrong with a request (RFC 9457). More fields may follow."""

    type: str = Field(description="What kind of problem it is, for programs: it stays the same.")
    title: str = Field(description="The kind in words.")
    status: Annotated[int, Field(ge=400, le=599, description="The status of the answer.")]
    detail: str = Field(description="What happened this time.")
    hint: str | None = Field(description="What to do about it.")
    retryable: bool = Field(description="Whether the same request can go well later without anyone changing anything.")
    request_id: str | None = Field(description="The id of the request, which is also in the server's log.")
    errors: list[Fault] | None = Field(None, description="Every field at fault, where the input was.")
    run: RunTold | None = Field(None, description="The run that is in the way, where one is.")
    expected: int | None = Field(None, description="The version that the request stands on.")
    actual: int | None = Field(None, description="The version that is there; null where there is none.")
    acknowledged: list[int] | None = Field(None, description="Positions of the items that were stored.")


def problem_schemas() -> dict[str, Any]:
    """Return the schemas that the responses below point at, by their names among an OpenAPI document's components."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    return {**schema.pop("$defs"), "Problem": schema}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that may fail in these ways, and in those in which any request may."""
    return {status: _response(status) for status in sorted({*_ALWAYS, *statuses})}


def defects(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that refuses nobody: it fails in these ways, or by a defect, or too late."""
    return {status: _response(status) for status in sorted({500, 504, *statuses})}


def _response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _WHAT[status], "content": {MEDIA_TYPE: {"schema": schema}}}
