"""Whether a sampled series grows without bound, and the verdict on a whole soak.

The second half of a series is looked at, so that warming up is none of it. Its growth is what the median of its last
third is above that of its first, taken for the whole of it: that of a straight line, and what neither the spike of a
fault nor a saw makes larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

#: Samples of the second half, below which nothing can be said of a series.
ENOUGH = 6


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a series may grow by over the second half: so much, and this share of its median there."""

    plus: float
    share: float = 0.0


#: Each series that is judged. A share alone would be nothing of a small number; a constant alone, of a large one.
#: Latency is the machine's too, and what else it has to do: only what grows out of all proportion counts.
TOLERANCES: Mapping[str, Tolerance] = {
    "rss_mb": Tolerance(8.0, 0.05),
    "fds": Tolerance(6.0),
    "threads": Tolerance(4.0),
    "tasks": Tolerance(10.0, 0.25),
    "backends": Tolerance(4.0),
    "pending": Tolerance(25.0, 0.5),
    "p50_ms": Tolerance(100.0, 0.4),
    "p99_ms": Tolerance(300.0, 0.4),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """How a series grew over its second half. ``growth`` and ``allowed`` are None where it had too few samples."""

    name: str
    samples: int
    first: float | None
    last: float | None
    peak: float | None
    growth: float | None
    allowed: float | None

    @property
    def bounded(self) -> bool:
        """Say whether it was seen not to grow; what could not be judged was not."""
        return self.growth is not None and self.allowed is not None and self.growth <= self.allowed

    def sentence(self) -> str:
        """Say what was seen, in one line."""
        if self.growth is None:
            return f"{self.name}: only {self.samples} samples in the second half, too few to judge"
        said = "bounded" if self.bounded else "GROWS"
        return f"{self.name}: {self.growth:+.1f} over the second half, {self.allowed:.1f} allowed: {said}"


def trend(name: str, values: Sequence[float | None], tolerance: Tolerance) -> Trend:
    """Judge one series; None is a sample that could not be had."""
    had = [value for value in values if value is not None]
    late = [value for value in values[len(values) // 2 :] if value is not None]
    ends = (had[0], had[-1], max(had)) if had else (None, None, None)
    if len(late) < ENOUGH:
        return Trend(name, len(late), *ends, None, None)
    third = len(late) // 3
    growth = (median(late[-third:]) - median(late[:third])) * 1.5
    return Trend(name, len(late), *ends, growth, tolerance.plus + tolerance.share * abs(median(late)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a soak has shown. ``end``: the worker's last words; empty where it died before them."""

    trends: tuple[Trend, ...]
    end: Mapping[str, Any]

    @property
    def faults(self) -> list[str]:
        """Say what speaks against it; nothing where it passed."""
        return [trend.sentence() for trend in self.trends if not trend.bounded] + _of_end(self.end)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        trends = {t.name: {s: getattr(t, s) for s in t.__slots__ if s != "name"} for t in self.trends}
        return {"passed": not self.faults, "faults": self.faults, "trends": trends, "end": dict(self.end)}


def judge(samples: Sequence[Mapping[str, Any]], end: Mapping[str, Any]) -> Verdict:
    """Judge the samples of a soak, and what the worker found after the calm."""
    trends = [trend(name, [one.get(name) for one in samples], how) for name, how in TOLERANCES.items()]
    return Verdict(tuple(trends), end)


def _of_end(end: Mapping[str, Any]) -> list[str]:
    if not end:
        return ["the worker ended before it could look at the stores"]
    said = {
        "pending": "entries in the outbox after the calm",
        "dead": "dead entries",
        "found": "inconsistencies found by the full check",
        "lost": "memories that are not as they were acknowledged",
        "alarms": "inconsistencies reported while the load went on",
        "foreign": "errors that are none of diptych's",
    }
    bad = [f"{end[name]} {words}" for name, words in said.items() if end[name]]
    return bad if end["complete"] else [*bad, "the full check was not complete"]
