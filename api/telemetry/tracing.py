"""OpenTelemetry traces by the semantic conventions of databases. Without the extra ``otel`` there are none.

A span says which operation, on which kind of store, where that is, and of which class an error was. It never carries
content, parameters, ids of memories or tenants, messages of errors, or secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from api.telemetry.request import Request
from persistence.log import get_logger
from persistence.ports.observer import (
    UNOBSERVED,
    AdapterCall,
    Call,
    Ending,
    Event,
    Location,
    Observer,
    Part,
    RelayBatch,
    Retried,
    SyncRun,
    Target,
    Work,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind, Tracer
    from opentelemetry.trace import TracerProvider as AnyTracerProvider

log = get_logger("traces")

Attributes = dict[str, str | int | bool]

#: Our names of backends that the conventions call otherwise.
_SYSTEMS = {"pgvector": "postgresql"}
#: Where one of these variables is set, spans are sent there.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracing(provider: AnyTracerProvider | None = None) -> Observer:
    """Return an observer that makes spans with a provider, else with the process's own.

    Where the extra is not installed it does nothing; where no provider is set, OpenTelemetry itself does nothing.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415  # an extra
    except ImportError:
        return UNOBSERVED
    return Tracing(trace.get_tracer("diptych", tracer_provider=provider))


def exporting(environment: Mapping[str, str]) -> TracerProvider | None:
    """Return a provider that sends spans to the collector that the environment names; None where it names none.

    ``OTEL_…`` variables of the process, which OpenTelemetry reads itself, say where, with which headers, and how many.
    Whoever makes it shuts it down at the end.
    """
    if not any(environment.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        log.warning("Traces are asked for, but cannot be sent. Try: pip install 'diptych[otel]'.", action="traces")
        return None
    named = {} if "OTEL_SERVICE_NAME" in environment else {"service.name": "diptych"}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """An observer that makes a span of all work: calls, attempts on stores, relay batches, runs."""

    def __init__(self, tracer: Tracer) -> None:
        from opentelemetry import context, propagate, trace  # noqa: PLC0415  # an extra

        self._tracer = tracer
        self._trace = trace
        self._context = context
        self._propagate = propagate

    def began(self, work: Work) -> Ending:
        name, attributes = _described(work)
        parent = self._propagate.extract(work.parents) if isinstance(work, Request) else None
        span = self._tracer.start_span(name, context=parent, kind=self._kind(work), attributes=attributes)
        token = self._context.attach(self._trace.set_span_in_context(span))
        return partial(self._ended, work, span, token)

    def _kind(self, work: Work) -> SpanKind:
        match work:
            case Request():
                return self._trace.SpanKind.SERVER
            case AdapterCall(target=Target(location=Location())):
                return self._trace.SpanKind.CLIENT
        return self._trace.SpanKind.INTERNAL

    def _ended(self, work: Work, span: Span, token: object) -> None:
        self._context.detach(token)  # type: ignore[arg-type]  # what attach gave
        if span.is_recording():
            span.set_attributes(_results(work))
            if isinstance(work, Request):
                span.update_name(f"{work.method} {work.route}")
            if work.error is not None:
                span.set_attribute("error.type", work.error)
                span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def noted(self, event: Event) -> None:
        span = self._trace.get_current_span()
        match event:
            case Retried():
                span.add_event("diptych.retry", {"diptych.store": event.part.value, "error.type": event.error})
            case _:
                span.add_event("diptych.breaker", {"diptych.breaker.state": event.state})


def _described(work: Work) -> tuple[str, Attributes]:
    """Return a span's name and what is known at its beginning."""
    match work:
        case AdapterCall():
            return _name(work), _attributes(work)
        case Call():
            return f"diptych.{work.operation}", {"diptych.operation": work.operation}
        case RelayBatch():
            return "diptych.relay", {"diptych.relay.entries": work.entries}
        case SyncRun():
            return f"diptych.{work.kind}", {"diptych.run.kind": work.kind, "diptych.run.depth": work.depth}
        case Request():
            return work.method, {"http.request.method": work.method}
    return "diptych", {}


def _name(work: AdapterCall) -> str:
    """Return ``{operation} {target}``, as the conventions ask for where there is no summary of a query."""
    location = work.target.location
    where = None if location is None else location.namespace or location.host
    return f"{work.operation} {where or work.target.kind}"


def _attributes(work: AdapterCall) -> Attributes:
    part = work.target.part
    if part not in {Part.TRUTH, Part.GRAPH}:
        return {"diptych.part": part.value, "diptych.model": work.target.kind, "diptych.texts": work.size}
    found: Attributes = {"diptych.store": part.value, "db.operation.name": work.operation, **_place(work.target)}
    if work.size > 1:  # of one item it is no batch, and the conventions want none said
        found["db.operation.batch.size"] = work.size
    return found


def _place(target: Target) -> Attributes:
    location = target.location or Location(None, None, None)
    found: Mapping[str, str | int | None] = {
        "db.system.name": _SYSTEMS.get(target.kind, target.kind),
        "db.namespace": location.namespace,
        "server.address": location.host,
        "server.port": location.port,
    }
    return {name: value for name, value in found.items() if value is not None}


def _results(work: Work) -> Attributes:
    match work:
        case Call():
            return {f"diptych.outcome.{outcome}": number for outcome, number in work.outcomes.items()}
        case RelayBatch():
            return {f"diptych.relay.{what}": getattr(work, what) for what in ("applied", "failed", "dead")}
        case SyncRun():
            return _results_of_run(work)
        case Request(status=int() as status):
            return {"http.route": work.route, "http.response.status_code": status}
    return {}


def _results_of_run(work: SyncRun) -> Attributes:
    found: Attributes = {f"diptych.run.found.{kind}": number for kind, number in work.found.items()}
    found["diptych.run.state"] = work.state
    return found if work.complete is None else {**found, "diptych.run.complete": work.complete}
