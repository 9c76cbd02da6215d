"""Puts the routes into an app: our own, or one that somebody else has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.params import Depends as Dependency
from starlette.exceptions import HTTPException

from api.access import Denied, Unauthenticated, Undecided
from api.http import problems
from api.http.answers import on_error
from api.http.caller import PRINCIPAL, Authenticate
from api.http.faces import ALL, OF_JSON, Face, make_routers
from api.http.host import Host, set_host
from api.http.models.problem import MEDIA_TYPE, problem_schemas
from persistence.errors import PersistenceError

FindHost = Callable[[Request], Host]

#: Errors that are ours alone, so that an app that mounts the routes has no other use for them.
OURS: tuple[type[Exception], ...] = (PersistenceError, Unauthenticated, Denied, Undecided)


def mount(
    app: FastAPI,
    find_host: FindHost,
    *,
    authenticate: Authenticate,
    prefix: str = "",
    dependencies: Sequence[Dependency] = (),
    faces: Iterable[Face] = ALL,
) -> None:
    """Put the routes into an app under a prefix; its own dependencies, middleware and state stay as they are.

        mount(app, lambda request: request.state.memory, authenticate=who_is_it, prefix="/memory")

    ``find_host`` gives the host that the app has opened in its lifespan. ``authenticate`` says whom a request comes
    from, by whatever the app knows it; ``dependencies`` run before it. Our errors are answered as problems, unless the
    app has handlers for them; what FastAPI itself refuses (422, 404) is answered in the app's own manner, and limits
    on bodies, time and rates are the app's to set.
    """
    include(app, find_host, authenticate, prefix=prefix, dependencies=dependencies, faces=faces)
    for error in OURS:
        app.exception_handlers.setdefault(error, on_error)
    describe(app)


def include(
    app: FastAPI,
    find_host: FindHost,
    authenticate: Authenticate,
    *,
    prefix: str = "",
    dependencies: Sequence[Dependency] = (),
    faces: Iterable[Face] = ALL,
) -> None:
    """Include the routers of the faces, each route with its host and its caller at hand."""

    async def prepare(request: Request) -> None:
        set_host(request, find_host(request))
        if PRINCIPAL not in request.scope:
            request.scope[PRINCIPAL] = await authenticate(request)

    for face, router in make_routers(faces):
        first = [*dependencies, Depends(prepare), *([Depends(takes_json)] if face in OF_JSON else [])]
        app.include_router(router, prefix=prefix, dependencies=first, responses=PROBLEM_RESPONSES)


async def takes_json(request: Request) -> None:
    """Refuse a body that is not JSON."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise HTTPException(problems.MEDIA.status.value, "A body must be JSON, of the type application/json.")


#: Whatever an operation does not list by itself is a problem.
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def describe(app: FastAPI) -> None:
    """Put the schema of a problem into the app's OpenAPI document, for all operations to point at."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in problem_schemas().items():
            schemas.setdefault(name, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
