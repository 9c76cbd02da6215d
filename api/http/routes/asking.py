"""What every route begins with: who asks, on which host, for which tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, Path, Request

from api.access import ADMIN, READ, WRITE, Principal
from api.http.caller import needs
from api.http.host import Host, hosted
from api.http.models.problem import problems
from persistence.errors import InvalidInputError
from persistence.text import Name

Hosted = Annotated[Host, Depends(hosted)]
Reader = Annotated[Principal, Depends(needs(READ))]
Writer = Annotated[Principal, Depends(needs(WRITE))]
Operator = Annotated[Principal, Depends(needs(ADMIN))]

#: A memory's id in the path: any text, its slashes included, percent-encoded or not.
MemoryId = Annotated[Name, Path(description="The memory's id: any text, percent-encoded.")]


def tenant_of(caller: Principal, asked: str | None) -> str:
    """Return the tenant that a request is about. Raises Denied; InvalidInputError where none is named."""
    tenant = caller.tenant(asked)
    if tenant is None:
        raise InvalidInputError("user_id", None, "name the tenant that is meant")
    return tenant


def answers(model: Any, *failures: int, status: int = 200, also: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    """Return how a route is declared that answers with a model, and may fail in these ways.

    What an answer leaves out, the JSON leaves out too: it is the one that the command line prints.
    """
    responses: dict[int | str, Any] = {**problems(*failures), **(also or {})}
    return {
        "response_model": model,
        "response_model_exclude_unset": True,
        "status_code": status,
        "responses": responses,
    }


def location(request: Request, name: str, ids: Mapping[str, str]) -> dict[str, str]:
    """Return the header that says where a thing is; ids are percent-encoded, whatever they hold."""
    path = request.url_for(name, **{key: quote(value, safe="") for key, value in ids.items()}).path
    return {"Location": path}


def beneath(request: Request, id: str, query: Mapping[str, str]) -> dict[str, str]:  # noqa: A002  # the field's name
    """Return the header that says where a thing is that was put into the collection which the request was sent to."""
    return {"Location": f"{request.url.path}/{quote(id, safe='')}?{urlencode(query)}"}
