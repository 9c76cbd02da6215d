"""All of the telemetry of one served service: made before the service is opened, put into its application after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from api.telemetry.http import RequestTelemetry, make_metrics_router
from api.telemetry.prometheus import Metrics
from api.telemetry.watched import watched
from persistence.ports.observer import Observer


@dataclass(frozen=True, slots=True)
class Telemetry:
    """``observer`` goes into ``AsyncPersistenceService.connect``, the rest into the application."""

    metrics: Metrics
    observer: Observer
    traces: Observer

    def install(self, app: FastAPI) -> None:
        """Add ``/metrics`` and what every request leaves to an application whose state has a Host."""
        app.include_router(make_metrics_router(self.metrics))
        app.add_middleware(RequestTelemetry, metrics=self.metrics, traces=self.traces)


@asynccontextmanager
async def telemetry(environment: Mapping[str, str]) -> AsyncIterator[Telemetry]:
    """Make metrics, log lines, and traces where the environment names a collector; send the last ones at the end."""
    metrics = Metrics()
    async with watched(environment, metrics) as told:
        yield Telemetry(metrics, told.observer, told.traces)
