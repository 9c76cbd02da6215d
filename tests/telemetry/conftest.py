from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from api.http import ApiConfig, create_app, hosting
from api.http.caller import Authenticate, anyone
from api.masking import Masker
from api.telemetry.http import RequestTelemetry, make_metrics_router
from api.telemetry.logs import Lines, log_to
from api.telemetry.prometheus import Metrics
from api.telemetry.together import Together
from api.telemetry.tracing import tracing
from persistence import AsyncPersistenceService
from persistence.ports.observer import Ending, Event, Work
from tests import planted
from tests.faults.stores import Stores


class Remembering:
    """An observer that keeps all it is told; what it is told to raise it raises."""

    def __init__(self, defect: Exception | None = None) -> None:
        self.ended: list[Work] = []
        self.events: list[Event] = []
        self.defect = defect

    def began(self, work: Work) -> Ending:
        self._fail()
        return lambda: self._end(work)

    def noted(self, event: Event) -> None:
        self._fail()
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        """Return the work of a kind that has ended, but for opening and closing."""
        found = [work for work in self.ended if isinstance(work, kind)]
        return [work for work in found if getattr(work, "operation", "") not in {"open", "close", "identify", "info"}]

    def _end(self, work: Work) -> None:
        self._fail()
        self.ended.append(work)

    def _fail(self) -> None:
        if self.defect is not None:
            raise self.defect


class Telemetry:
    """Metrics, spans and lines of one test, and what they say."""

    def __init__(self, mask: Masker) -> None:
        self.metrics = Metrics()
        self.metrics.state._stands_for = 0.0  # each look reads anew
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = tracing(self.provider)
        self.observer = Together(self.metrics, self.traces, Lines())
        self.stream = io.StringIO()
        self.handler = log_to(self.stream, mask)

    async def page(self, accept: str = "") -> str:
        """Return the metrics as they are exposed."""
        page = (await self.metrics.exposed(accept))[0].decode()
        planted.check(page)
        return page

    async def look(self, memories: AsyncPersistenceService) -> dict[tuple[str, ...], float]:
        """Read the state, and return all samples by name and label values in the order of the labels' names."""
        await self.metrics.state.refresh(memories)
        return samples(await self.page())

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def lines(self, action: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of the log, of one action or all."""
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in found if action in {None, line.get("action")}]

    @asynccontextmanager
    async def client(
        self, memories: AsyncPersistenceService, authenticate: Authenticate = anyone
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Serve an application with this telemetry, and yield a client of it."""
        async with hosting(memories, ApiConfig()) as host:
            app = create_app(host, authenticate=authenticate)
            app.include_router(make_metrics_router(self.metrics))
            app.add_middleware(RequestTelemetry, metrics=self.metrics, traces=self.traces)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://diptych") as client:
                client.app = app  # type: ignore[attr-defined]
                yield client


def samples(page: str) -> dict[tuple[str, ...], float]:
    """Return a page's samples by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.fixture
def seen() -> Iterator[Telemetry]:
    """Return metrics, spans and lines of the test's own."""
    telemetry = Telemetry(Masker([], {}))
    yield telemetry
    ours = logging.getLogger("diptych")
    ours.removeHandler(telemetry.handler)
    ours.setLevel(logging.NOTSET)
    telemetry.provider.shutdown()


@pytest.fixture
def stores(postgres_url: str, pg_schema: str, clean_neo4j: str) -> Stores:
    """Return a truth in a schema of the test's own, and a graph with nothing of ours in it."""
    return Stores(postgres_url, pg_schema, clean_neo4j)


@pytest.fixture
async def own(postgres_server: Any, neo4j_server: Any) -> Stores:
    """Return the same on servers that the test may stop, kill and freeze."""
    stores = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    return stores


@asynccontextmanager
async def watched(stores: Stores, observer: Any, **settings: Any) -> AsyncIterator[AsyncPersistenceService]:
    """Open a service on both stores that tells an observer."""
    graph = settings.pop("graph", None)
    given = AsyncPersistenceService.connect(graph=graph, config=stores.config(**settings), observer=observer)
    async with given as memories:
        yield memories
