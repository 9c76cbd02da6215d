"""Puts the application together: routes, errors, limits."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import dashboard
from api.http.answers import on_error
from api.http.caller import Authenticate, anyone
from api.http.faces import ALL, Face
from api.http.guard import Guard
from api.http.host import Host
from api.http.limits import InTime, Sized
from api.http.methods import METHODS, Headed
from api.http.mounting import OURS, PROBLEM_RESPONSES, describe, include
from api.http.origin import SameSite
from api.http.probes import make_probes
from api.http.settings import ApiConfig
from api.http.shell import Shell
from api.http.traced import HEADER, Traced

DESCRIPTION = "Keeps every memory in a vector store and in a graph, in step."
_SENT = ["Authorization", "Content-Type", "If-Match", "Idempotency-Key", "Last-Event-ID", HEADER]
_SHOWN = ["ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", HEADER]


def create_app(host: Host, *, authenticate: Authenticate = anyone, faces: Iterable[Face] = ALL) -> FastAPI:
    """Make the application on a host that is open as long as the application serves."""
    faces = frozenset(faces)
    app = FastAPI(
        title="diptych",
        version=version("diptych"),
        description=DESCRIPTION,
        openapi_url="/openapi.json" if faces else None,
        docs_url=None,  # its pages load their scripts from other hosts
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours says no content and no stack trace
        middleware=_middleware(host, authenticate),
        exception_handlers=dict.fromkeys((*OURS, RequestValidationError, HTTPException), on_error),
    )
    app.state.host = host
    app.include_router(make_probes(host), responses=PROBLEM_RESPONSES)
    include(app, lambda _: host, authenticate, faces=faces)
    describe(app)
    if Face.DASHBOARD in faces:
        app.add_api_route("/", front, include_in_schema=False)
    return app


async def front(request: Request) -> RedirectResponse:
    """Lead whoever types in the server's address alone to the dashboard's first screen."""
    return RedirectResponse(dashboard.home_of(request))


def _middleware(host: Host, authenticate: Authenticate) -> list[Middleware]:
    """Return what a request goes through, the outermost first."""
    config = host.config
    return [
        Middleware(Traced),
        Middleware(Shell),
        *_cors(config),
        Middleware(SameSite, origins=config.cors_origins),
        Middleware(InTime, seconds=config.request_timeout, drain=host.drain),
        Middleware(Guard, authenticate=authenticate, limiter=host.limiter),
        Middleware(Sized, most=config.max_body_bytes),
        Middleware(Headed),
    ]


def _cors(config: ApiConfig) -> list[Middleware]:
    """Return what lets pages of other origins call the API, outside the guard: a browser asks first, without a key."""
    if not config.cors_origins:
        return []
    origins, sent = list(config.cors_origins), _SENT
    return [
        Middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=METHODS, allow_headers=sent, expose_headers=_SHOWN
        )
    ]
