"""Prometheus metrics of one service: what it tells of its work, counted, and the state of its stores when asked for."""

from __future__ import annotations

import math
import time
from functools import partial

import anyio.to_thread

from api.telemetry import metrics as m
from persistence.breaker import BreakerState
from persistence.extras import needing
from persistence.ports.observer import (
    AdapterCall,
    BreakerChanged,
    Call,
    Ending,
    Event,
    Part,
    RelayBatch,
    Retried,
    SyncRun,
    Work,
)
from persistence.results import Outcome

with needing("api"):
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.process_collector import ProcessCollector

    from api.telemetry.instruments import Instruments
    from api.telemetry.state import OF_STATE, State

#: The calls of a service that change memories; the others read.
WRITES = frozenset({"store", "store_many", "update", "delete", "delete_all"})
FAULTS = ("refused", "unknown", "failed")
STORES = frozenset({Part.TRUTH, Part.GRAPH})


class Metrics:
    """An observer that counts, and the registry that it counts in. Nothing is global: each service has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.state = State()
        self.registry.register(self.state)
        ProcessCollector(registry=self.registry)
        self.instruments = Instruments(self.registry, OF_STATE)
        self.instruments.gauge(m.RELAY_SUCCESS).set(math.nan)
        self._begin_at_0()

    def _begin_at_0(self) -> None:
        """Show what has not happened yet as 0, where it can be listed: a first failure is an increase then."""
        for operation in sorted(WRITES):
            for outcome in (*Outcome, *FAULTS):
                self.instruments.counter(m.WRITES, operation, outcome)
        for outcome in ("applied", "failed", "dead"):
            self.instruments.counter(m.RELAY_ENTRIES, outcome)
        for state in BreakerState:
            self.instruments.counter(m.BREAKER_CHANGES, state)

    async def exposed(self, accept: str) -> tuple[bytes, str]:
        """Return everything in the exposition format that a request's Accept asks for, and that format's name."""
        encode, media_type = choose_encoder(accept)
        return await anyio.to_thread.run_sync(encode, self.registry), media_type

    def began(self, work: Work) -> Ending:
        return partial(self._ended, work)

    def noted(self, event: Event) -> None:
        match event:
            case Retried():
                self.instruments.counter(m.RETRIES, event.part, self.instruments.error(event.error)).inc()
            case BreakerChanged():
                self.instruments.counter(m.BREAKER_CHANGES, event.state).inc()

    def _ended(self, work: Work) -> None:
        match work:
            case AdapterCall(target=target) if target.part in STORES:
                self._store_call(work)
            case AdapterCall():
                self._model_call(work)
            case Call():
                self._call(work)
            case RelayBatch():
                self._relay_batch(work)
            case SyncRun():
                self._run(work)

    def _store_call(self, work: AdapterCall) -> None:
        of, part = self.instruments, work.target.part
        of.histogram(m.STORE_SECONDS, part, work.operation).observe(work.seconds)
        if work.error is None:
            of.gauge(m.STORE_SUCCESS, part).set(time.time())
        else:
            of.counter(m.STORE_FAILURES, part, work.operation, of.error(work.error)).inc()

    def _model_call(self, work: AdapterCall) -> None:
        of, part = self.instruments, work.target.part
        if work.operation == "close":  # no text is given to it
            return
        of.histogram(m.MODEL_SECONDS, part).observe(work.seconds)
        of.counter(m.MODEL_TEXTS, part).inc(work.size)
        if work.error is not None:
            of.counter(m.MODEL_FAILURES, part, of.error(work.error)).inc()

    def _call(self, work: Call) -> None:
        of, metric = self.instruments, m.WRITES if work.operation in WRITES else m.READS
        for outcome, number in work.outcomes.items():
            of.counter(metric, work.operation, outcome).inc(number)
        of.histogram(m.CALL_SECONDS, work.operation).observe(work.seconds)
        if work.error is None:
            of.gauge(m.CALL_SUCCESS, work.operation).set(time.time())
        else:
            of.counter(m.CALL_FAILURES, work.operation, of.error(work.error)).inc()

    def _relay_batch(self, work: RelayBatch) -> None:
        of = self.instruments
        for outcome, number in (("applied", work.applied), ("failed", work.failed), ("dead", work.dead)):
            of.counter(m.RELAY_ENTRIES, outcome).inc(number)
        of.histogram(m.RELAY_SECONDS).observe(work.seconds)
        if work.error is not None:
            of.counter(m.RELAY_FAILURES, of.error(work.error)).inc()
        if work.applied:
            of.gauge(m.RELAY_SUCCESS).set(time.time())

    def _run(self, work: SyncRun) -> None:
        of, kind, depth = self.instruments, work.kind, work.depth
        of.counter(m.RUNS_ENDED, kind, depth, work.state).inc()
        of.histogram(m.RUN_SECONDS, kind, depth).observe(work.seconds)
        for found, number in work.found.items():
            of.counter(m.RUN_FOUND, found).inc(number)
        if work.state == "done" and work.complete:
            of.gauge(m.RUN_SUCCESS, kind, depth).set(time.time())
