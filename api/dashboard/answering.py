"""From a route to a page: the same headers on every answer, and a page for every error."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.access import Denied, Unauthenticated
from api.dashboard.sessions import COOKIE
from api.dashboard.stage import Stage, stage_of
from api.dashboard.visitor import Visitor, home_of
from persistence.errors import (
    InvalidInputError,
    MemoryNotFoundError,
    PersistenceError,
    RunConflictError,
    RunNotFoundError,
    SyncError,
)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with that a browser sends the forms of our own pages with the origin "null".
    "Referrer-Policy": "same-origin",
}
#: Seconds after which a store that is away may be asked again.
RETRY_AFTER = "5"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def route_class(stage: Stage) -> type[APIRoute]:
    """Return the class of a dashboard's routes."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            return _on_stage(stage, super().get_route_handler())

    return PageRoute


def _on_stage(stage: Stage, handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        request.state.dashboard = stage
        try:
            response = await handler(request)
        except (HTTPException, RequestValidationError, Unauthenticated, Denied, PersistenceError) as error:
            response = _refused(request, error)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return handle


def page(request: Request, visitor: Visitor, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page for a visitor."""
    response = rendered(request, template, status=status, visitor=visitor, **values)
    give_cookie(request, response, visitor.session_id)
    return response


def rendered(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template."""
    stage, home = stage_of(request), home_of(request)
    text = stage.templates.get_template(template).render(
        home=home, assets=stage.assets, path=request.url.path, **values
    )
    return HTMLResponse(text, status)


def give_cookie(request: Request, response: Response, session_id: str) -> None:
    """Have the browser keep its session's id, out of reach of scripts and of other sites."""
    if request.cookies.get(COOKIE) != session_id:
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session_id, path=home_of(request), httponly=True, samesite="strict", secure=secure)


def _refused(request: Request, error: Exception) -> Response:
    status, sentence, hint = _said(error)
    run = error.run if isinstance(error, RunConflictError) else None
    response = rendered(
        request, "error.html", status=status, visitor=None, status_code=status, sentence=sentence, hint=hint, run=run
    )
    if status == 401:  # noqa: PLR2004  # Unauthorized: the browser asks for the key, as a password
        response.headers["WWW-Authenticate"] = 'Basic realm="diptych", charset="UTF-8"'
    if status == 503:  # noqa: PLR2004  # Service Unavailable
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _said(error: Exception) -> tuple[int, str, str | None]:
    """Return status, sentence and advice."""
    match error:
        case HTTPException():
            return error.status_code, str(error.detail), None
        case RequestValidationError():
            fields = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
            return 422, f"Not allowed here: {fields}.", None
        case PersistenceError():
            return _status(error), error.message, error.hint
        case Unauthenticated():
            return 401, "An API key is needed here.", "the key as the password, with any name"
        case _:
            return 403, str(error), None


def _status(error: PersistenceError) -> int:
    match error:
        case InvalidInputError():
            return 422
        case MemoryNotFoundError() | RunNotFoundError():
            return 404
        case SyncError():
            return 409
        case _:
            return 503
