"""All of it put into an application, as a server does: spans reach a real collector, a trace has its caller above."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.http import ApiConfig, create_app, hosting
from api.telemetry.serving import telemetry
from api.telemetry.watched import LAST_SPANS
from persistence import AsyncPersistenceService
from tests.mcp.conftest import Command, bare
from tests.mcp.test_mcp_stdio import HELLO, answer, call, ended, line
from tests.telemetry.conftest import Telemetry, samples

__all__ = ["bare"]  # a fixture of the tests of MCP

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, str], list[Any]]]:
    """Return the environment that names a collector on this machine, and the spans that came there."""
    came: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            came.extend(
                span for resource in body.resource_spans for scope in resource.scope_spans for span in scope.spans
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment, came
        server.shutdown()
        thread.join()


async def test_spans_reach_the_collector(collector: tuple[dict[str, str], list[Any]]) -> None:
    """Where the environment names a collector, all spans are there once the telemetry has ended."""
    environment, came = collector
    async with telemetry(environment) as told:
        given = AsyncPersistenceService.connect("memory://", "memory://", observer=told.observer)
        async with given as memories, hosting(memories, ApiConfig()) as host:
            app = create_app(host)
            told.install(app)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://diptych") as client:
                await memories.store("Ada", user_id="u1")
                page = samples((await client.get("/metrics")).text)
    assert page["diptych_writes_total", "store", "in_step"] == 1
    assert {"diptych.store", "write memory", "GET /metrics"} <= {span.name for span in came}


async def test_spans_of_mcp_reach_the_collector(collector: tuple[dict[str, str], list[Any]], bare: Command) -> None:
    """A call of a tool leaves the spans of what it asked of the stores, once its process has ended."""
    bare.environment |= collector[0]
    process = await bare.start("--user", "ada")
    assert process.stdin is not None
    process.stdin.write(line(HELLO) + call(2, "remember", content="Ada"))
    assert [(await answer(process))["id"] for _ in range(2)] == [1, 2]
    assert (await ended(process))[0] == 0
    assert {"diptych.store", "write memory"} <= {span.name for span in collector[1]}


async def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that takes the connection and never answers costs the end of the process a moment, no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        monkeypatch.setenv(*environment.copy().popitem())
        async with telemetry(environment) as told:
            async with AsyncPersistenceService.connect("memory://", "memory://", observer=told.observer) as memories:
                await memories.store("Ada", user_id="u1")
            began = time.monotonic()
    assert time.monotonic() - began < LAST_SPANS + 3


async def test_without_a_collector_nothing_is_sent() -> None:
    """An environment that names none makes metrics and lines alone."""
    async with telemetry({}) as told:
        async with AsyncPersistenceService.connect("memory://", "memory://", observer=told.observer) as memories:
            await memories.store("Ada", user_id="u1")
        page, _ = await told.metrics.exposed("")
    assert samples(page.decode())["diptych_writes_total", "store", "in_step"] == 1


async def test_a_trace_goes_on(seen: Telemetry) -> None:
    """A request with a traceparent is a span of that trace, and what it asks of the stores lies below it."""
    given = AsyncPersistenceService.connect("memory://", "memory://", observer=seen.observer)
    async with given as memories, seen.client(memories) as client:
        seen.exporter.clear()
        await client.get("/metrics", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (request,) = [span for span in seen.spans if span.name == "GET /metrics"]
    assert request.context is not None
    assert request.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/metrics",
        "http.response.status_code": 200,
    }
    # Whoever serves looks at the stores by itself, too: those pings are below nothing.
    below = [span for span in seen.spans if span.name == "ping memory" and span.parent is not None]
    assert [span.parent.span_id for span in below if span.parent] == [request.context.span_id] * 2


async def test_spans_of_concurrent_calls_do_not_mix(seen: Telemetry) -> None:
    """Of calls that run at the same time each has its own attempts below it, and nothing of another's."""
    given = AsyncPersistenceService.connect("memory://", "memory://", observer=seen.observer)
    async with given as memories:
        seen.exporter.clear()
        await asyncio.gather(*(memories.store(f"text {number}", user_id="u1") for number in range(20)))
        calls = [span for span in seen.spans if span.name == "diptych.store"]
        writes = [span for span in seen.spans if span.name == "write memory"]
    assert len({span.context.trace_id for span in calls if span.context}) == 20
    assert sorted(span.parent.span_id for span in writes if span.parent) == sorted(
        span.context.span_id for span in calls if span.context
    )
