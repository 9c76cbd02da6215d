"""Makes prometheus_client's instruments of our metrics, and keeps the values of labels few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from api.telemetry.metrics import METRICS, Metric, Type
from persistence.errors import PersistenceError

I = TypeVar("I", Counter, Gauge, Histogram)  # noqa: E741  # one of the three instruments

#: Stands for every class of error that is neither ours nor one of those below: a defect.
OTHER = "other"
_FOREIGN = ("CancelledError", "BulkCancelledError", "TimeoutError", OTHER)


def _subclasses(kind: type[PersistenceError]) -> Iterator[str]:
    yield kind.__name__
    for one in kind.__subclasses__():
        yield from _subclasses(one)


class Instruments:
    """The counters, gauges and histograms of one registry. Those in ``left_out`` are somebody else's to make."""

    def __init__(self, registry: CollectorRegistry, left_out: frozenset[Metric]) -> None:
        made = {metric: _made(metric, registry) for metric in METRICS if metric not in left_out}
        self._made: dict[Metric, Counter | Gauge | Histogram] = made
        self._children: dict[tuple[Metric, tuple[str, ...]], Counter | Gauge | Histogram] = {}
        self._errors = frozenset(_subclasses(PersistenceError)) | frozenset(_FOREIGN)

    def counter(self, metric: Metric, *labels: str) -> Counter:
        """Return one series of a counter."""
        return self._child(Counter, metric, labels)

    def gauge(self, metric: Metric, *labels: str) -> Gauge:
        """Return one series of a gauge."""
        return self._child(Gauge, metric, labels)

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        """Return one series of a histogram."""
        return self._child(Histogram, metric, labels)

    def error(self, name: str) -> str:
        """Return the value of the label ``error`` for a class of this name."""
        return name if name in self._errors else OTHER

    def _child(self, kind: type[I], metric: Metric, labels: tuple[str, ...]) -> I:
        """Return a series; the library's own look-up takes a lock and checks the labels each time."""
        child = self._children.get((metric, labels))
        if child is None:
            whole = self._made[metric]
            child = self._children[metric, labels] = whole.labels(*labels) if labels else whole
        if not isinstance(child, kind):
            raise TypeError(f"{metric.name} is no {kind.__name__}")
        return child


def _made(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match metric.type:
        case Type.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case Type.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case Type.HISTOGRAM:
            return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry)
