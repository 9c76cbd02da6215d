"""GET /metrics, and what every request leaves: its metrics by the template of its route, and its line in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from api.access import READ, Denied, Principal
from api.telemetry import metrics as m
from api.telemetry.request import Request as HttpRequest
from persistence.extras import needing
from persistence.log import get_logger
from persistence.ports.observer import UNOBSERVED, Observer
from persistence.watching import Watching, guarded

with needing("api"):
    from fastapi import APIRouter, Depends, Request, Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.http.caller import needs
    from api.http.host import Host
    from api.http.models.problem import problems
    from api.telemetry.prometheus import Metrics

log = get_logger("http")

#: Methods that a label may name; whatever else a client writes is one more value.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARENTS = frozenset({b"traceparent", b"tracestate"})
SERVER_ERROR = 500
_TEXT = {"schema": {"type": "string"}}
_FORMATS = {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}
OTHER_METHOD, NO_ROUTE, ABORTED = "other", "none", "aborted"


def make_metrics_router(metrics: Metrics) -> APIRouter:
    """Make the route that Prometheus scrapes."""
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "All metrics in an exposition format.", "content": _FORMATS}, **problems()},
    )
    async def metrics_now(request: Request, caller: Annotated[Principal, Depends(needs(READ))]) -> Response:
        """Give all metrics, in the exposition format that Accept asks for. They are of all tenants together."""
        if caller.user_id is not None:
            raise Denied("Metrics are of all tenants together, and this principal may act for one only.")
        host: Host = request.app.state.host
        if (health := await metrics.state.refresh(host.memories)) is not None:
            host.desk.board.note(health)
        body, media_type = await metrics.exposed(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    return router


class RequestTelemetry:
    """ASGI middleware: counts and times each request, makes its span, and writes its canonical line."""

    def __init__(self, app: ASGIApp, metrics: Metrics, traces: Observer = UNOBSERVED) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = guarded(traces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        work = HttpRequest(scope["method"] if scope["method"] in _METHODS else OTHER_METHOD, _parents(scope))

        async def told(message: Message) -> None:
            _look(work, message)
            await send(message)

        running = self._metrics.instruments.gauge(m.HTTP_RUNNING)
        running.inc()
        try:
            with Watching(self._traces, work), _ending(scope, work):
                await self._app(scope, receive, told)
        finally:
            running.dec()
            self._record(work)

    def _record(self, work: HttpRequest) -> None:
        of, outcome = self._metrics.instruments, _outcome(work)
        of.counter(m.HTTP_REQUESTS, work.method, work.route, outcome).inc()
        of.histogram(m.HTTP_SECONDS, work.method, work.route).observe(work.seconds)
        shown: dict[str, Any] = {"method": work.method, "route": work.route, "status": work.status, "outcome": outcome}
        if work.request_id is not None:
            shown["request_id"] = work.request_id
        say = log.warning if outcome == "5xx" else log.info
        say("A request has ended.", action="request", **shown, duration_ms=round(work.seconds * 1_000, 3))


@contextmanager
def _ending(scope: Scope, work: HttpRequest) -> Iterator[None]:
    """Say at the end which route it was; whoever stands before us answers an error with 500."""
    try:
        yield
    except Exception:
        work.status, work.complete = work.status or SERVER_ERROR, True
        raise
    finally:
        work.route = _route(scope)


def _outcome(work: HttpRequest) -> str:
    return f"{work.status // 100}xx" if work.status is not None and work.complete else ABORTED


def _parents(scope: Scope) -> dict[str, str]:
    """Return the headers of W3C that name the trace of a request, none of the others."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _PARENTS}


def _look(work: HttpRequest, message: Message) -> None:
    if message["type"] == "http.response.start":
        work.status = message["status"]
        found = dict(message.get("headers", ())).get(b"x-request-id")
        work.request_id = found.decode("latin-1") if found is not None else None
    elif message["type"] == "http.response.body" and not message.get("more_body", False):
        work.complete = True


def _route(scope: Scope) -> str:
    """Return the template of the route that took a request: a path would be a label of endless values.

    Where FastAPI keeps a router that was included with a prefix, the whole template is in the context that it leaves.
    """
    included = scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(included, "path_format", None) or getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else NO_ROUTE
